"""Makes one line of what was captured of one request. Runs in the clerk's process, so it may take its time."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson

from lb.audit.answers import answer_of, answer_of_stream
from lb.audit.bounds import TooLarge, line_of
from lb.audit.prompts import Turn, tools_of, turns_of, user_of
from lb.audit.redaction import Record, Redaction, without_content
from lb.metering.tap import inflater

UNPACKED = 32 * 1024 * 1024
"""Bytes of a compressed body that are unpacked at most: a few kilobytes can hold gigabytes."""

TOOLS = 128
"""Names of tools: else there could be so many that there is no room for the prompt."""


class Desk:
    """Where lines are made. `dropped` counts records whose content could not be kept."""

    def __init__(self, redaction: Redaction, field_bytes: int, record_bytes: int) -> None:
        self._redaction = redaction
        self._field_bytes = field_bytes
        self._record_bytes = record_bytes
        self.contents_dropped = 0

    def line(self, facts: Record, request: bytes, reply: bytes) -> bytes | None:
        """The line, or None where the operator's function does not want the record. Never raises."""
        reading = reading_of(facts)
        facts = record = self._redaction.chosen(completed(facts))
        if "content_dropped" not in facts:
            try:
                record = {**facts, **content(reading, request, reply)}
            except Exception as bug:  # whatever strangers send, a record of it is better than none
                record = without_content(facts, f"unreadable: {type(bug).__name__}")
        kept = self._redaction.apply(record)
        return None if kept is None else self._bounded(kept, facts)

    def _bounded(self, record: Record, facts: Record) -> bytes | None:
        dropped = "content_dropped" in record and "content_dropped" not in facts
        line: bytes | None
        try:
            line = line_of(record, self._field_bytes, self._record_bytes)
        except TooLarge:
            line, dropped = self._bare(facts, "too large"), True
        except Exception as failure:  # what the operator's function gave back may be anything
            line, dropped = self._bare(facts, f"not JSON: {type(failure).__name__}"), True
        self.contents_dropped += dropped
        return line

    def _bare(self, facts: Record, why: str) -> bytes | None:
        try:
            return line_of(without_content(facts, why), self._field_bytes, self._record_bytes)
        except TooLarge:
            return None


def reading_of(facts: Record) -> dict[str, Any]:
    """How the bodies are to be read: which API it is, and of each the kind, the coding and the length."""
    found: dict[str, Any] = {"call": facts["call"]}
    for name in ("asked", "told"):
        kind, coding, length = facts[name]
        plain = kind.partition(";")[0].strip().lower()
        found[name] = {"kind": plain, "coding": coding, "length": length}
    return found


def completed(facts: Record) -> Record:
    """The facts as a record says them, those that are not there left out."""
    began = datetime.fromtimestamp(facts["timestamp"], UTC)
    seconds, first = facts["ms"], facts["first_byte_ms"]
    record = facts | {
        "timestamp": f"{began:%Y-%m-%dT%H:%M:%S}.{began.microsecond // 1000:03d}Z",
        "path": facts["path"].partition("?")[0],
        "ms": round(seconds * 1000),
        "first_byte_ms": None if first is None else round(first * 1000),
        **_cost(facts["tokens"]),
    }
    for name in ("asked", "told", "tokens"):
        del record[name]
    return {name: value for name, value in record.items() if value not in (None, "")}


def _cost(tokens: list[Any] | None) -> Record:
    if tokens is None or tokens[0] == "unknown":
        return {} if tokens is None else {"usage": "unknown"}
    return dict(zip(_COST, tokens, strict=True))


_COST = ("usage", "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")


def content(reading: dict[str, Any], request: bytes, reply: bytes) -> Record:
    """Prompt, answer and what the bodies say of themselves: `reading` tells how they are to be read."""
    call, of_request, of_reply = reading["call"], reading["asked"], reading["told"]
    asked, said = _read(request, of_request)
    streamed = of_reply["kind"] == "text/event-stream"
    if streamed:
        response, model = answer_of_stream(_unpacked(reply, of_reply))
    else:
        told, plain = _read(reply, of_reply)
        response = _or_text(answer_of(told), told, plain, of_reply, "")
        model = told.get("model") if isinstance(told, dict) else None
    wanted = asked.get("model") if isinstance(asked, dict) else None
    found = {
        "user": user_of(asked) or "",
        "stream": streamed,
        "model": next((name for name in (model, wanted) if isinstance(name, str) and name), ""),
        "tools": tools_of(asked)[:TOOLS],
        "response": response,
        "prompt": _or_text(turns_of(call, asked), asked, said, of_request, "user"),
    }
    return {name: value for name, value in found.items() if value not in ("", [])}


def _or_text(turns: list[Turn], read: object, plain: bytes, how: dict[str, Any], role: str) -> list[Turn]:
    """What is no JSON is shown as text where it is one, else by its kind and length."""
    if read is not None:
        return turns
    if not plain:
        return []
    if how["kind"] in _TEXTS or how["kind"].startswith("text/") or how["kind"].endswith("json"):
        text = plain.decode("utf-8", "replace")
    else:
        text = f"[{how['kind'] or 'body'}, {how['length']} bytes]"
    return [{"role": role, "content": text} if role else {"content": text}]


_TEXTS = frozenset({"application/x-ndjson", "application/jsonl", "application/xml"})


def _read(body: bytes, how: dict[str, Any]) -> tuple[Any, bytes]:
    """The JSON of a body, None where it is none; and its plain bytes."""
    plain = _unpacked(body, how)
    kind = how["kind"]
    if not plain or not (kind == "application/json" or kind.endswith("+json")):
        return None, plain
    return parsed(plain), plain


def parsed(plain: bytes) -> Any:
    """JSON, by the quick reader or else the patient one, which takes lone surrogates; None where it is none."""
    try:
        return orjson.loads(plain)
    except ValueError:
        pass
    try:
        return json.loads(plain.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None


def _unpacked(body: bytes, how: dict[str, Any]) -> bytes:
    """What is compressed in an unknown way, or is not what it says, ends where it can be read no further."""
    inflate = inflater(how["coding"].encode("latin-1"))
    if inflate is None:
        return body
    pieces, room = [], UNPACKED
    try:
        for piece in inflate(body):
            pieces.append(piece[:room])
            room -= len(piece)
            if room <= 0:
                break
    except Exception:  # zlib.error, of a body that was cut or is none
        room = 0
    return b"".join(pieces)
