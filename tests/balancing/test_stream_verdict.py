"""What the first events of a stream mean; the texts are those that were captured (docs of protocol, 2.3)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.stream_verdict import judge_event
from lb.balancing.verdict import Faulted, Misconfigured, Relay, Throttled


def judge(text: str, name: str = "") -> object:
    return judge_event(name, text.encode(), lambda reason: Throttled(7.0, reason))


RESPONSES_ERROR = (
    '{"type":"error","error":{"type":"too_many_requests","code":"rate_limit_exceeded","headers":{"x-ms-fe-error":"true"},'
    '"message":"Your requests to gpt-6-astra for gpt-6-astra in eastus2 have exceeded token rate limit.","param":null},'
    '"sequence_number":1}'
)
PTU_ERROR = RESPONSES_ERROR.replace("rate_limit_exceeded", "rate_limit_reached").replace(
    '{"x-ms-fe-error":"true"}', '{"skip-error-remapping":"true"}'
)
BARE_ERROR = '{"type":"error","error":{"code":"too_many_requests","message":"Too Many Requests"}}'
CHAT_ERROR = '{"error":{"code":"429","message":"Your requests to gpt in eastus2 have exceeded token rate limit."}}'
FAILED = '{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded"}}}'
CAPACITY = (
    '{"error":{"code":"%s","message":"The system is currently experiencing high demand and cannot process your '
    'request. Your request exceeds the maximum usage size allowed during peak load."}}'
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("error", RESPONSES_ERROR),
        ("", RESPONSES_ERROR),
        ("error", PTU_ERROR),
        ("error", BARE_ERROR),
        ("", CHAT_ERROR),
        ("", '{"error":{"code":429,"message":"Too many"}}'),
        ("", '{"error":{"status":429,"message":"Too many"}}'),
        ("response.failed", FAILED),
        ("", FAILED),
        ("error", '{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}'),
        ("error", '{"code":"RateLimitExceeded","message":"slow down"}'),
        ("", '{"error":{"type":"insufficient_quota","code":"insufficient_quota"}}'),
        ("", CAPACITY % "server_error"),
        ("", CAPACITY % "no_such_code_yet"),
        ("", '{"error":{"code":null,"message":"Your requests to x have exceeded call rate limit."}}'),
        ("", '{"error":"The system is currently experiencing high demand"}'),
    ],
)
def test_a_rate_limit_or_capacity_error_is_throttling(name: str, text: str) -> None:
    verdict = judge(text, name)
    assert isinstance(verdict, Throttled)
    assert verdict.reason.startswith("in-stream ")


@pytest.mark.parametrize("code", ["server_error", "internal_error", "InternalServerError", "500", "503", "408"])
def test_a_5xx_like_error_is_a_fault_that_is_known_to_be_in_the_stream(code: str) -> None:
    assert judge(json.dumps({"error": {"code": code, "message": "oh"}})) == Faulted(f"in-stream {code}", in_stream=True)
    failed = {"type": "response.failed", "response": {"error": {"code": code}}}
    assert judge(json.dumps(failed)) == Faulted(f"in-stream {code}", in_stream=True)


def test_a_missing_deployment_told_in_the_stream_is_our_configuration() -> None:
    assert isinstance(judge('{"error":{"code":"DeploymentNotFound","message":"x"}}'), Misconfigured)


@pytest.mark.parametrize(
    "text",
    [
        '{"error":{"code":"content_filter","message":"The response was filtered"}}',
        '{"error":{"code":"invalid_request_error","message":"no"}}',
        '{"error":{}}',
        '{"type":"error"}',
        '{"type":"response.failed","response":null}',
        '{"type":"response.failed","response":{"error":null}}',
        '{"error":{"message":429}}',
        '{"error":"something"}',
        '{"error":{"code":{"a":[1]},"type":["x"]}}',
    ],
)
def test_any_other_error_is_relayed(text: str) -> None:
    assert isinstance(judge(text), Relay)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("response.created", '{"type":"response.created","response":{"id":"resp_1","error":null}}'),
        ("", '{"type":"response.queued","response":{}}'),
        ("", '{"type":"response.in_progress","response":{}}'),
        ("response.created", "{}"),
        ("", '{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}'),
        ("", '{"choices":[],"usage":null}'),
        ("", ""),
        ("", "  "),
    ],
)
def test_an_opening_event_decides_nothing(name: str, text: str) -> None:
    assert judge(text, name) is None


@pytest.mark.parametrize(
    "text",
    [
        "[DONE]",
        '{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}',
        '{"choices":[],"usage":{"total_tokens":3}}',
        '{"choices":[{"text":"error 429 rate_limit_exceeded"}]}',
        '{"type":"response.output_text.delta","delta":"429"}',
        '{"type":"response.completed","response":{"error":null}}',
        '{"error":null,"choices":[{"index":0,"delta":{"content":"a"}}]}',
        "null",
        "[]",
        '"error"',
        "429",
        "not json",
        "{",
        "[" * 100_000,
        '{"a":' * 50_000,
        "1" * 5000,
    ],
)
def test_content_or_what_we_do_not_know_is_relayed(text: str) -> None:
    assert judge(text) == Relay()


@given(st.text(max_size=20), st.binary(max_size=200))
def test_no_event_whatever_breaks_it(name: str, data: bytes) -> None:
    judge_event(name, data, lambda reason: Throttled(7.0, reason))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "error", "code", "response", "choices", "message", "usage"]), inner)
    ),
    max_leaves=12,
)


@given(st.sampled_from(["", "error", "response.failed"]), JSON)
def test_no_document_whatever_breaks_it(name: str, document: object) -> None:
    judge(json.dumps(document), name)
