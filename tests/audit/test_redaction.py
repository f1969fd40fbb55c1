"""What must not be kept is not kept, also when the operator's own function fails."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from audit_facts import facts
from hypothesis import given
from hypothesis import strategies as st

from lb.audit.records import Desk
from lb.audit.redaction import Record, Redaction, load_hook

SECRET = "4111 1111 1111 1111"
PATTERNS = {"card": r"\b(?:\d[ -]?){15}\d\b", "email": r"[\w.+-]{1,64}@[\w.-]{1,255}"}
CALL = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": json.dumps({"card": SECRET})}}
ASKED = {
    "user": "ada@example.com",
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": f"My card is {SECRET}."}]},
        {"role": "assistant", "tool_calls": [CALL]},
    ],
}
TOLD = {"choices": [{"message": {"role": "assistant", "content": f"{SECRET}, and mail ada@example.com"}}]}


def line(hook: Any = None, patterns: dict[str, str] | None = None, **more: Any) -> dict[str, Any] | None:
    desk = Desk(Redaction(PATTERNS if patterns is None else patterns, hook, **more), 65_536, 262_144)
    made = desk.line(facts(tenant="ada"), json.dumps(ASKED).encode(), json.dumps(TOLD).encode())
    return None if made is None else json.loads(made)


def test_patterns_are_applied_to_everything_that_was_said() -> None:
    told = line()
    assert told is not None
    text = json.dumps(told)
    assert SECRET not in text
    assert "ada@" not in text
    assert told["prompt"][1]["content"] == "My card is [card]."
    assert told["user"] == "[email]"
    assert told["redacted"] == {"card": 3, "email": 2}


def test_without_patterns_nothing_is_taken_out() -> None:
    told = line(patterns={})
    assert told is not None
    assert SECRET in told["prompt"][1]["content"]
    assert "redacted" not in told


def add(record: Record) -> Record:
    return {**record, "department": "sales"}


def test_a_function_may_change_the_record_or_drop_it() -> None:
    told = line(add)
    assert told is not None
    assert told["department"] == "sales"
    assert line(lambda record: None) is None


def raising(record: Record) -> Record:
    record["note"] = str(record["prompt"])  # what it has copied before it fails does not leak, either
    raise ValueError(record["prompt"])


def leaving(record: Record) -> Record:
    raise SystemExit(str(record["prompt"]))


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (raising, "redaction failed: ValueError"),
        (leaving, "redaction failed: SystemExit"),
        (lambda record: [record], "the hook gave back no record"),
        (lambda record: {**record, "prompt": object()}, "not JSON: TypeError"),
        (lambda record: {**record, "note": "x" * 300_000}, "too large"),
    ],
)
def test_a_function_that_fails_costs_the_record_its_content(hook: Any, why: str) -> None:
    told = line(hook, {})
    assert told is not None
    assert told["content_dropped"] == why
    assert (told["request_id"], told["tenant"]) == ("r-1", "ada")
    assert not {"prompt", "response", "user", "tools", "note"} & set(told)
    assert SECRET not in json.dumps(told)


def test_contents_that_were_dropped_are_counted() -> None:
    desk = Desk(Redaction({}, raising), 1000, 5000)
    for _ in range(3):
        desk.line(facts(), b"{}", b"{}")
    assert desk.contents_dropped == 3


def test_what_takes_too_long_costs_the_record_its_content() -> None:
    @contextmanager
    def impatient() -> Iterator[None]:
        yield
        raise TimeoutError

    told = line(within=impatient)
    assert told is not None
    assert told["content_dropped"] == "redaction failed: TimeoutError"
    assert "prompt" not in told


@given(before=st.integers(0, 300), after=st.integers(0, 3000), most=st.integers(64, 256))
def test_a_secret_at_the_edge_of_what_is_kept_is_not_kept_in_part(before: int, after: int, most: int) -> None:
    redaction = Redaction({"card": PATTERNS["card"]}, most=most)
    said = "x" * before + " " + SECRET + " " + "y" * after
    told = redaction.apply({"prompt": [{"role": "user", "content": said}]})
    assert told is not None
    kept = told["prompt"][0]["content"]
    assert not re.search(r"\d", kept)
    assert len(kept) <= most


KEY = "-----BEGIN KEY-----" + "k" * 3000 + "-----END KEY-----"
PEM = {"pem": r"-----BEGIN KEY-----[^-]{1,8000}-----END KEY-----"}


@pytest.mark.parametrize("before", [0, 900, 999])
def test_of_a_long_secret_across_the_cut_nothing_is_kept(before: int) -> None:
    told = Redaction(PEM, most=1000).apply({"prompt": "x" * before + KEY + "y" * 2000})
    assert told is not None
    assert "BEGIN" not in told["prompt"]
    assert "kkk" not in told["prompt"]
    assert told["redacted"] == {"pem": 1}


def made(settings: dict[str, Any], asked: Any = None, hook: Any = None, **more: Any) -> dict[str, Any]:
    desk = Desk(Redaction(PATTERNS, hook, **more), 65_536, 262_144)
    line = desk.line(facts("ada@example.com", **settings), json.dumps(asked or {}).encode(), b"{}")
    assert line is not None
    told: dict[str, Any] = json.loads(line)
    return told


CHOSEN = {"path": f"/{SECRET}", "deployment": "bob@example.com", "forwarded_for": "x" * 249 + " " + SECRET}


@pytest.mark.parametrize("hook", [None, raising, lambda record: {**record, "note": object()}])
def test_patterns_are_applied_to_what_the_caller_chose_also_when_the_content_is_dropped(hook: Any) -> None:
    told = made(CHOSEN, {"model": f"m-{SECRET}", "user": "u" * 120 + " " + SECRET}, hook)
    assert (told["request_id"], told["path"], told["deployment"]) == ("[email]", "/[card]", "[email]")
    assert "4111" not in json.dumps(told)
    assert told["redacted"]["email"] == 2


def test_what_the_caller_chose_is_left_out_where_patterns_took_too_long() -> None:
    @contextmanager
    def impatient() -> Iterator[None]:
        yield
        raise TimeoutError

    told = made(CHOSEN, within=impatient)
    assert not {*CHOSEN, "request_id"} & told.keys()
    assert told["content_dropped"] == "redaction failed: TimeoutError"


def test_names_are_as_long_as_they_may_be_and_no_longer() -> None:
    told = made({"path": "/" + "p" * 3000}, {"model": "m" * 300, "user": "u" * 300})
    assert [len(told[name]) for name in ("path", "model", "user")] == [1024, 128, 128]


def test_a_function_is_found_by_its_name() -> None:
    assert load_hook("json:dumps") is json.dumps
    for entry in ("json:nothing", "no.such.module:hook", "json:__name__"):
        with pytest.raises((ImportError, AttributeError)):
            load_hook(entry)
