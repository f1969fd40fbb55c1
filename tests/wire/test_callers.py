from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import orjson
import pytest

from lb.refusal import Refusal
from lb.wire.callers import Callers, ClientKeys


@dataclass
class FakeHead:
    """The part of a head that says who calls."""

    api_key: bytes | None = None
    bearer: bytes | None = None
    query_key: bytes | None = None
    protocol_key: bytes | None = None
    method: str = "POST"
    target: bytes = b"/"
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    peer: str = "192.0.2.1"
    known: tuple[object, str] | None = None


def keys(**named: str) -> dict[bytes, str]:
    return {sha256(key.encode()).digest(): name for name, key in named.items()}


def callers(known: dict[bytes, str]) -> Callers:
    return Callers(known, None, lambda: 0.0, lambda: 0.0)


def test_nothing_configured_lets_everybody_in_without_a_name() -> None:
    assert callers({}).identify(FakeHead()) is None
    assert callers({}).identify(FakeHead(api_key=b"anything", bearer=b"a.b.c")) is None


@pytest.mark.parametrize(
    "head", [FakeHead(api_key=b"k2"), FakeHead(bearer=b"k2"), FakeHead(query_key=b"k2"), FakeHead(protocol_key=b"k2")]
)
def test_a_key_is_known_wherever_the_clients_put_it(head: FakeHead) -> None:
    assert callers(keys(anna="k1", bert="k2")).identify(head) == "bert"


def test_one_good_key_is_enough() -> None:
    known = callers(keys(anna="k1"))
    assert known.identify(FakeHead(api_key=b"dummy", bearer=b"k1")) == "anna"
    assert known.identify(FakeHead(api_key=b"k1", bearer=b"a.b.c")) == "anna"
    assert known.identify(FakeHead(api_key=b"dummy", query_key=b"k1")) == "anna"


def test_two_keys_may_have_one_name() -> None:
    known = callers({sha256(b"old").digest(): "anna", sha256(b"new").digest(): "anna"})
    assert known.identify(FakeHead(api_key=b"old")) == "anna"
    assert known.identify(FakeHead(api_key=b"new")) == "anna"


@pytest.mark.parametrize(
    "head",
    [
        FakeHead(),
        FakeHead(api_key=b""),
        FakeHead(api_key=b"k"),
        FakeHead(api_key=b"k1 "),
        FakeHead(bearer=b"K1"),
        FakeHead(bearer=b"a.b.c"),
        FakeHead(api_key=sha256(b"k1").digest()),
        FakeHead(api_key=sha256(b"k1").hexdigest().encode()),
        FakeHead(api_key=b"\xff" * 10_000),
    ],
)
def test_a_stranger_is_told_what_to_present_and_where(head: FakeHead) -> None:
    refusal = callers(keys(anna="k1")).identify(head)
    assert isinstance(refusal, Refusal)
    assert refusal.status == 401
    assert refusal.headers == ((b"WWW-Authenticate", b"Bearer"),)
    error = orjson.loads(refusal.body)["error"]
    assert error["code"] == "401"
    assert "`api-key: <key>` or `Authorization: Bearer <key>`" in error["message"]
    assert "anna" not in error["message"]


def test_a_reload_takes_the_old_key_away() -> None:
    known = callers(keys(anna="k1"))
    known.replace(keys(anna="k2"), None)
    assert isinstance(known.identify(FakeHead(api_key=b"k1")), Refusal)
    assert known.identify(FakeHead(api_key=b"k2")) == "anna"
    known.replace({}, None)
    assert known.identify(FakeHead()) is None


def test_a_head_that_comes_again_is_checked_again_after_a_reload() -> None:
    """A connection that lives on hands in the same head for each of its requests."""
    known, head = callers(keys(anna="k1")), FakeHead(bearer=b"k1")
    assert [known.identify(head), known.identify(head)] == ["anna", "anna"]
    known.replace(keys(bert="k1"), None)
    assert known.identify(head) == "bert"
    known.replace(keys(bert="k2"), None)
    assert isinstance(known.identify(head), Refusal)
    known.replace({}, None)
    assert known.identify(head) is None


def test_a_head_that_rests_keeps_no_keys_of_before_a_reload() -> None:
    known, head = callers(keys(anna="k1")), FakeHead(api_key=b"k1")
    assert known.identify(head) == "anna"
    assert head.known is not None
    assert not isinstance(head.known[0], ClientKeys)
    known.replace(keys(bert="k1"), None)
    assert known.identify(head) == "bert"


def test_what_is_looked_up_differs_from_process_to_process() -> None:
    digest = sha256(b"k1").digest()
    assert ClientKeys({digest: "anna"})._hidden(digest) != ClientKeys({digest: "anna"})._hidden(digest)
