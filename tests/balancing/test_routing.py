"""Which deployment a request asks for, what it may do twice, and how it is rewritten."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.backend import Backend
from lb.balancing.routing import (
    NAME_MAX,
    Operation,
    Place,
    Unroutable,
    rewrite_body,
    rewrite_target,
    route,
    route_handshake,
)

JSON = b"application/json"


def of(target: str, body: bytes = b"", method: str = "POST", kind: bytes = JSON, coding: bytes = b"") -> object:
    return route(method, target.encode(), kind, coding, body)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/openai/deployments/chat/chat/completions?api-version=2024-10-21", "chat"),
        ("/openai/deployments/chat/embeddings", "chat"),
        ("/OpenAI/Deployments/Chat/chat/completions", "Chat"),
        ("//openai//deployments//chat//chat/completions", "chat"),
        ("/openai/deployments/gpt%2D5/chat/completions", "gpt-5"),
        ("/openai/deployments/gr%C3%BCn/chat/completions", "grün"),
        ("/openai/deployments/my%20chat/chat/completions", "my chat"),
        ("/%6fpenai/deployments/chat/chat/completions", "chat"),
        ("/openai/deployments/chat", "chat"),
        ("/openai/deployments/chat/", "chat"),
        ("/openai/deployments/deployments/chat/completions", "deployments"),
        ("/openai/deployments/chat/chat/completions?model=other&deployment=other", "chat"),
        ("/deployments/chat/chat/completions", "chat"),
    ],
)
def test_the_path_names_the_deployment_whatever_the_body_says(target: str, name: str) -> None:
    found = of(target, b'{"model":"other"}')
    assert (found.place, found.deployment) == (Place.PATH, name)


@pytest.mark.parametrize(
    "name",
    ["%2F", "a%2Fb", "a%5Cb", "a%3Fb", "a%23b", "a%25b", "%20", "a%00b", "a%0Ab", "a%E2%80%AEb", "x" * (NAME_MAX + 1)],
)
def test_a_name_that_no_deployment_can_have_is_refused(name: str) -> None:
    with pytest.raises(Unroutable):
        of(f"/openai/deployments/{name}/chat/completions")


@pytest.mark.parametrize(
    "target",
    [
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions?api-version=preview",
        "/openai/V1/responses",
        "/openai//v1//embeddings",
        "/openai/responses?api-version=2025-04-01-preview",
        "/openai/v1/images/generations",
        "/openai/v1/audio/speech",
        "/openai/v1/moderations",
        "/openai/v1/completions",
        "/openai/v1/responses/compact",
        "/v1/chat/completions",
        "/models/chat/completions?api-version=2024-05-01-preview",
        "/models/embeddings",
        "/models/images/embeddings",
        "/chat/completions",
    ],
)
def test_elsewhere_the_body_names_it_and_the_call_is_inference(target: str) -> None:
    found = of(target, b'{"messages":[],"model":"gpt"}')
    assert (found.operation, found.place, found.deployment) == (Operation.INFERENCE, Place.JSON, "gpt")


def test_a_form_names_it_in_its_model_field() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    found = of("/openai/v1/audio/transcriptions", body, kind=b"multipart/form-data; boundary=b")
    assert (found.operation, found.place, found.deployment) == (Operation.INFERENCE, Place.FORM, "whisper")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "target", ["/openai/v1/models", "/openai/v1/files/f1", "/openai/v1/responses/resp_1", "/", "/models"]
)
def test_methods_that_may_be_repeated_ask_for_no_deployment(method: str, target: str) -> None:
    found = of(target, b'{"model":"x"}', method)
    assert (found.operation, found.deployment) == (Operation.SAFE, None)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "rest",
    ["batches", "fine_tuning/jobs", "threads/t1/runs", "threads/runs", "files", "uploads", "uploads/u1/parts",
     "vector_stores", "assistants", "threads", "threads/t1/messages", "conversations", "evals", "containers", "videos",
     "realtime/client_secrets", "skills", "something/new"],
)  # fmt: skip
@pytest.mark.parametrize("base", ["/openai/v1/", "/openai/", "/openai/deployments/chat/"])
def test_what_makes_something_durable_is_never_taken_for_inference(method: str, rest: str, base: str) -> None:
    assert of(f"{base}{rest}", b"{}", method).operation is Operation.DURABLE


@pytest.mark.parametrize("method", ["PUT", "PATCH", "FOO"])
def test_only_a_post_is_inference(method: str) -> None:
    assert of("/openai/v1/chat/completions", b'{"model":"x"}', method).operation is Operation.DURABLE


@pytest.mark.parametrize("rest", ["fine_tuning/jobs", "evals", "batches", "files", "uploads", "vector_stores"])
def test_a_base_model_is_not_a_deployment(rest: str) -> None:
    assert of(f"/openai/v1/{rest}", b'{"model":"gpt-base"}').deployment is None
    assert of("/openai/deployments?api-version=2022-12-01", b'{"model":"gpt-base"}').deployment is None


def test_an_assistant_and_a_run_name_a_deployment() -> None:
    assert of("/openai/v1/assistants", b'{"model":"gpt"}').deployment == "gpt"
    assert of("/openai/threads/t1/runs?api-version=x", b'{"assistant_id":"a","model":"gpt"}').deployment == "gpt"
    assert of("/openai/threads/t1/runs?api-version=x", b'{"assistant_id":"a"}').unnamed == ""


@pytest.mark.parametrize("target", ["/openai/v1/responses/resp_1/cancel", "/openai/v1/chat/completions/chatcmpl-1"])
def test_a_call_on_an_object_that_exists_needs_no_model(target: str) -> None:
    found = of(target, b'{"metadata":{}}')
    assert (found.deployment, found.unnamed) == (None, "")


@pytest.mark.parametrize("target", ["/openai/v1/threads/runs", "/openai/v1/assistants", "/openai/v1/responses/x/y"])
def test_where_a_model_may_stand_a_body_that_cannot_be_read_says_why(target: str) -> None:
    body = '{"model":"x"}'
    assert "compressed" in of(target, b"\x1f\x8b", coding=b"gzip").unnamed
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"):
        assert "UTF-8" in of(target, body.encode(coding)).unnamed
        assert "UTF-8" in of(target, body.encode(coding), kind=b"").unnamed
    assert "beginning" in route("POST", target.encode(), JSON, b"", b'{"a":"', whole=False).unnamed
    assert of(target, b"\0\0binary", kind=b"application/octet-stream").unnamed == ""
    assert of("/openai/v1/containers/c/files", b"\x1f\x8b", coding=b"gzip").unnamed == ""


@pytest.mark.parametrize(
    "target",
    [
        "/openai%2Fdeployments/other/chat/completions",
        "/openai%2fdeployments%2fother%2fchat/completions",
        "/openai%252Fdeployments%252Fother/chat/completions",
        "/openai/%2Fdeployments/other/chat/completions",
        "/openai%5Cdeployments/other/chat/completions",
        "/openai;a=b/deployments/other/chat/completions",
        "/openai/deployments;a=b/other/chat/completions",
        "/%2564eployments/other/chat/completions",
    ],
)
def test_a_deployment_that_only_some_readers_see_in_the_path_is_refused(target: str) -> None:
    with pytest.raises(Unroutable):
        of(target, b'{"model":"chat"}')


def test_other_paths_may_hold_what_they_like() -> None:
    for target in ("/openai/v1/files/a%2Fb;c", "/openai/v1/files/openai%2Fdeployments%2Fx", "/openai/v1/x?a=%2F;b"):
        assert of(target).deployment is None


def test_inference_without_a_model_that_can_be_read_says_why() -> None:
    assert of("/openai/v1/responses", b'{"input":"x"}').unnamed == "the body has no `model`"
    assert of("/openai/v1/responses", b'{"model":"x"}', coding=b"gzip").unnamed == (
        "the body is compressed, so its `model` cannot be read"
    )
    assert of("/openai/v1/responses", b'{"model":"x"}', coding=b"identity").deployment == "x"
    cut = route("POST", b"/openai/v1/responses", JSON, b"", b'{"input":"' + b"x" * 9, whole=False)
    assert "beginning" in cut.unnamed


@pytest.mark.parametrize("body", [b'{"model":"a","model":"b"}', b'{"mod\\u0065l":"a"}', b'{"model":"a\\nb"}',
                                  b'{"model":"' + b"x" * (NAME_MAX + 1) + b'"}'])  # fmt: skip
def test_a_body_that_would_be_read_two_ways_or_fill_our_memory_is_refused(body: bytes) -> None:
    with pytest.raises(Unroutable):
        of("/openai/v1/chat/completions", body)


def test_a_long_target_is_read_like_a_short_one() -> None:
    long = "/openai/deployments/chat/chat/completions?x=" + "y" * 5000
    assert of(long).deployment == "chat"


MAPPED = Backend("m", "https://m", deployments={"chat": "gpt-54-mini", "fr": "modèle", "odd": 'a"b c'})
RENAMED = Backend("r", "https://r", deployment_name="only")
PLAIN = Backend("p", "https://p")


@pytest.mark.parametrize(
    ("backend", "target", "rewritten"),
    [
        (
            MAPPED,
            "/openai/deployments/chat/chat/completions?a=%2F",
            "/openai/deployments/gpt-54-mini/chat/completions?a=%2F",
        ),
        (MAPPED, "//OpenAI/deployments//chat/x%2Dy", "//OpenAI/deployments//gpt-54-mini/x%2Dy"),
        (MAPPED, "/openai/deployments/odd/chat", "/openai/deployments/a%22b%20c/chat"),
        (RENAMED, "/openai/deployments/deployments/chat/completions", "/openai/deployments/only/chat/completions"),
        (RENAMED, "/openai/deployments/only/chat", "/openai/deployments/only/chat"),
        (RENAMED, "/openai/deployments/%6fnly/chat", "/openai/deployments/%6fnly/chat"),
        (PLAIN, "/openai/deployments/ch%61t/chat", "/openai/deployments/ch%61t/chat"),
        (MAPPED, "/openai/v1/files", "/openai/v1/files"),
    ],
)
def test_only_the_segment_of_the_deployment_changes(backend: Backend, target: str, rewritten: str) -> None:
    found = of(target)
    assert rewrite_target(found, target.encode(), backend) == rewritten.encode()
    assert rewrite_body(found, b'{"model":"chat"}', backend) == b'{"model":"chat"}'


def test_only_the_value_of_the_model_changes() -> None:
    body = b' {"a" : 1e5,\r\n"model"\t:"chat" , "b":"\\u00e9chat"}\n'
    found = of("/openai/v1/responses?x=chat", body)
    assert rewrite_body(found, body, MAPPED) == body.replace(b':"chat" ', b':"gpt-54-mini" ')
    assert rewrite_body(found, body, PLAIN) is body
    assert rewrite_target(found, b"/openai/v1/responses?x=chat", MAPPED) == b"/openai/v1/responses?x=chat"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda name: name.isprintable()))
def test_whatever_a_backend_calls_it_a_json_parser_reads_that_name(name: str) -> None:
    body = b'{"model":"chat","input":"x"}'
    renamed = rewrite_body(of("/openai/v1/responses", body), body, Backend("b", "https://b", deployment_name=name))
    assert json.loads(renamed) == {"model": name, "input": "x"}


@given(st.text(max_size=60), st.sampled_from(["GET", "POST", "PUT"]), st.binary(max_size=20))
def test_no_target_whatever_breaks_it(target: str, method: str, body: bytes) -> None:
    with contextlib.suppress(Unroutable):
        route(method, b"/" + target.encode(), JSON, b"", body)


@pytest.mark.parametrize(
    ("target", "name", "raw"),
    [
        ("/openai/v1/realtime?model=voice", "voice", "voice"),
        ("/openai/realtime?api-version=2025-04-01-preview&deployment=voice", "voice", "voice"),
        ("/openai/v1/realtime?a=1&MODEL=v%6Fice&b", "voice", "v%6Fice"),
        ("/openai/v1/realtime?x?model=voice;y", "voice", "voice"),
    ],
)
def test_the_query_of_a_handshake_names_the_deployment(target: str, name: str, raw: str) -> None:
    found = route_handshake(target.encode())
    assert (found.operation, found.place, found.deployment) == (Operation.INFERENCE, Place.QUERY, name)
    assert target.encode()[found.start : found.end] == raw.encode()


@pytest.mark.parametrize("target", ["/openai/v1/responses", "/openai/v1/realtime?model=", "/x?a=model&b=deployment=1"])
def test_a_handshake_may_name_none_and_says_why(target: str) -> None:
    found = route_handshake(target.encode())
    assert (found.place, found.deployment) == (Place.NOWHERE, None)
    assert "query" in found.unnamed


@pytest.mark.parametrize(
    "query",
    [
        "model=a&model=b", "model=a&deployment=b", "model=a&deployment=", "model=a&Model=a",
        "model=a;model=b", "model=a?deployment=b",
        "model=a+b", "model=%00", "model=a%26model=b%0A", "mod%65l=a&model=b", "model=" + "x" * (NAME_MAX + 1),
    ],
)  # fmt: skip
def test_a_handshake_that_could_be_read_in_two_ways_is_refused(query: str) -> None:
    with pytest.raises(Unroutable):
        route_handshake(f"/openai/v1/realtime?{query}".encode())


def test_a_handshake_may_name_it_in_its_path() -> None:
    found = route_handshake(b"/openai/deployments/voice/realtime?api-version=1&model=other")
    assert (found.operation, found.place, found.deployment) == (Operation.INFERENCE, Place.PATH, "voice")


def test_only_the_value_in_the_query_is_rewritten() -> None:
    target = b"/openai/v1/realtime?z=voice&model=voice&voice=model"
    there = Backend("b", "https://b", deployments={"voice": "gpt realtime/1"})
    found = route_handshake(target)
    assert rewrite_target(found, target, there) == b"/openai/v1/realtime?z=voice&model=gpt%20realtime%2F1&voice=model"
    assert rewrite_body(found, b"", there) == b""


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        ("/models/chat/completions?api-version=2024-05-01-preview", Operation.INFERENCE),
        ("/models/embeddings?api-version=2024-05-01-preview", Operation.INFERENCE),
        ("/models/images/embeddings?api-version=2024-05-01-preview", Operation.INFERENCE),
        ("/anthropic/v1/messages", Operation.INFERENCE),
        ("/anthropic/v1/messages?beta=true", Operation.INFERENCE),
        ("/anthropic/v1/messages/count_tokens", Operation.INFERENCE),
    ],
)
def test_the_surfaces_of_foundry_name_the_model_in_their_body(target: str, operation: Operation) -> None:
    found = of(target, b'{"model":"DeepSeek-V3.1","messages":[]}')
    assert (found.operation, found.place, found.deployment) == (operation, Place.JSON, "DeepSeek-V3.1")
    assert found.by_header == target.startswith("/models/")


def test_a_batch_of_messages_is_made_only_once() -> None:
    found = of("/anthropic/v1/messages/batches", b'{"requests":[{"params":{"model":"claude"}}]}')
    assert (found.operation, found.deployment) == (Operation.DURABLE, None)


def test_foundry_tells_about_its_model_without_a_body() -> None:
    assert of("/models/info?api-version=2024-05-01-preview", method="GET").operation is Operation.SAFE
