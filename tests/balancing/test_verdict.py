"""What a reply's status and header fields mean: the left column of the contract's retry table."""

import pytest

from lb.balancing.verdict import Faulted, Judge, Misconfigured, Relay, Throttled, headroom

JUDGE = Judge(lambda: 0.0)


def head(status: int, **fields: str) -> object:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return JUDGE.head(status, named.get)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 301, 304, 307])
def test_a_success_is_relayed_and_counts_as_served(status: int) -> None:
    assert head(status) == Relay(served=True)


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 415, 422, 424, 425, 431, 451, 499])
def test_any_other_4xx_is_relayed_but_proves_no_capacity(status: int) -> None:
    assert head(status) == Relay(served=False)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_retry_after_on_an_error_of_the_request_changes_nothing(status: int) -> None:
    assert head(status, retry_after="7") == Relay(served=False)


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 507, 520, 529, 599])
def test_5xx_and_408_are_faults(status: int) -> None:
    assert head(status) == Faulted(f"HTTP {status}")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_credential_is_our_configuration_not_the_clients(status: int) -> None:
    verdict = head(status)
    assert isinstance(verdict, Misconfigured)
    assert "credential" in verdict.reason


def test_429_is_throttling_with_or_without_a_wait() -> None:
    assert head(429) == Throttled(10.0, "HTTP 429", None)
    assert head(429, retry_after="7") == Throttled(7.0, "HTTP 429", 7.0)


@pytest.mark.parametrize("name", ["retry_after", "retry_after_ms", "x_ms_retry_after_ms"])
def test_503_that_names_a_wait_is_throttling(name: str) -> None:
    verdict = head(503, **{name: "3000" if name.endswith("ms") else "3"})
    assert isinstance(verdict, Throttled)
    assert verdict.seconds == 3.0


@pytest.mark.parametrize("status", [500, 502, 504])
def test_another_5xx_that_names_a_wait_is_still_a_fault(status: int) -> None:
    assert isinstance(head(status, retry_after="3"), Faulted)


def test_only_a_404_that_says_so_is_a_missing_deployment() -> None:
    body = b'{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}'
    assert isinstance(JUDGE.body(404, body), Misconfigured)
    assert isinstance(JUDGE.body(404, b'{ "error": {\n "code" : "DeploymentNotFound"'), Misconfigured)
    assert JUDGE.body(404, b'{"error":{"code":"404","message":"Resource not found"}}') == Relay(served=False)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"code":"not_found","message":"Response with id \'DeploymentNotFound\' not found."}}',
        rb'{"error":{"code":"not_found","message":"No \"code\":\"DeploymentNotFound\"."}}',
        b"DeploymentNotFound",
    ],
)
def test_a_caller_cannot_put_a_missing_deployment_into_the_backends_mouth(body: bytes) -> None:
    assert JUDGE.body(404, body) == Relay(served=False)


@pytest.mark.parametrize(
    ("fields", "share"),
    [
        ({}, None),
        ({"x-ratelimit-remaining-tokens": "50", "x-ratelimit-limit-tokens": "200"}, 0.25),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-limit-tokens": "200"}, 0.0),
        ({"x-ratelimit-remaining-tokens": "900", "x-ratelimit-limit-tokens": "200"}, 1.0),
        ({"x-ratelimit-remaining-tokens": "-27978", "x-ratelimit-limit-tokens": "200"}, None),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-limit-tokens": "-1"}, None),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-limit-tokens": "0"}, None),
        ({"x-ratelimit-remaining-tokens": "5"}, None),
        ({"x-ratelimit-remaining-tokens": "many", "x-ratelimit-limit-tokens": "200"}, None),
        ({"x-ratelimit-remaining-tokens": "9" * 5000, "x-ratelimit-limit-tokens": "9" * 5000}, None),
        ({"x-ratelimit-remaining-requests": "\u0661", "x-ratelimit-limit-requests": "2"}, None),
    ],
)
def test_headroom_is_advice_and_nonsense_is_ignored(fields: dict[str, str], share: float | None) -> None:
    assert headroom({name.encode(): value.encode() for name, value in fields.items()}.get) == share


def test_headroom_is_the_scarcer_of_tokens_and_requests() -> None:
    fields = {
        b"x-ratelimit-remaining-tokens": b"50",
        b"x-ratelimit-limit-tokens": b"100",
        b"x-ratelimit-remaining-requests": b"1",
        b"x-ratelimit-limit-requests": b"10",
    }
    assert headroom(fields.get) == 0.1
