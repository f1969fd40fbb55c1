"""A Realtime session: the client's events in, the server's events out. No sockets, no clock, no waiting."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lb.sim.answer import Desk
from lb.sim.ledger import Usage
from lb.sim.tokens import characters, words

Said = dict[str, Any]
Charge = Callable[[int], float | None]
"""Takes tokens from the deployment's limit: the seconds to wait where there are none, else None."""

BYTES_PER_AUDIO_TOKEN = 4800
"""Of 24 kHz, 16 bit, mono: a tenth of a second."""
_AUDIO = b"\0\1" * (BYTES_PER_AUDIO_TOKEN // 2)
_PREVIEW_NAMES = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
    "response.output_audio.delta": "response.audio.delta",
    "response.output_audio.done": "response.audio.done",
    "response.output_audio_transcript.delta": "response.audio_transcript.delta",
    "response.output_audio_transcript.done": "response.audio_transcript.done",
}


class RealtimeSession:
    """One conversation. `heard` takes an event of the client, and yields what the server says to it.

    `cost` is set with each response that is done, for whoever keeps the books.
    """

    def __init__(self, desk: Desk, charge: Charge, *, preview: bool = False) -> None:
        self._desk = desk
        self._charge = charge
        self._preview = preview
        self._session: Said = {
            "type": "realtime",
            "object": "realtime.session",
            "id": desk.ids("sess_"),
            "model": desk.model,
            "output_modalities": ["text"],
            "instructions": "You are a helpful assistant.",
            "tools": [],
            "tool_choice": "auto",
        }
        self._items: list[tuple[Said, int, int]] = []
        """With what each costs: tokens of text and of audio."""
        self._cached = 0
        self._buffer = 0
        """Bytes of sound that were appended."""
        self.cost: Usage | None = None

    def opened(self) -> Iterator[Said]:
        """What the server says first."""
        yield self._event("session.created", session=self._session)
        if self._preview:
            conversation = {"id": self._desk.ids("conv_"), "object": "realtime.conversation"}
            yield self._event("conversation.created", conversation=conversation)

    def heard(self, said: Mapping[str, Any]) -> Iterator[Said]:
        """The answer to one event."""
        ways = {
            "session.update": self._update,
            "conversation.item.create": self._add,
            "input_audio_buffer.append": self._append,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "response.create": self._respond,
        }
        way = ways.get(str(said.get("type")))
        if way is None:
            yield self.wrong(f"Invalid value: '{said.get('type')}'.", "invalid_value", said)
        else:
            yield from way(said)

    def wrong(self, message: str, code: str, said: Mapping[str, Any]) -> Said:
        """An error event: the session goes on."""
        error = {"type": "invalid_request_error", "code": code, "message": message, "param": None}
        return self._event("error", error={**error, "event_id": said.get("event_id")})

    def _event(self, kind: str, **fields: Any) -> Said:
        name = _PREVIEW_NAMES.get(kind, kind) if self._preview else kind
        return {"type": name, "event_id": self._desk.ids("event_"), **fields}

    def _update(self, said: Mapping[str, Any]) -> Iterator[Said]:
        self._session |= said.get("session") or {}
        yield self._event("session.updated", session=self._session)

    def _add(self, said: Mapping[str, Any]) -> Iterator[Said]:
        item = {"object": "realtime.item", "status": "completed", **said["item"]}
        item.setdefault("id", self._desk.ids("item_"))
        yield from self._place(item, -(-characters(item.get("content")) // 4), 0)

    def _place(self, item: Said, text: int, audio: int) -> Iterator[Said]:
        before = self._items[-1][0]["id"] if self._items else None
        self._items.append((item, text, audio))
        yield self._event("conversation.item.added", previous_item_id=before, item=item)
        if not self._preview:
            yield self._event("conversation.item.done", previous_item_id=before, item=item)

    def _append(self, said: Mapping[str, Any]) -> Iterator[Said]:
        self._buffer += len(base64.b64decode(said["audio"], validate=True))
        yield from ()

    def _clear(self, said: Mapping[str, Any]) -> Iterator[Said]:
        self._buffer = 0
        yield self._event("input_audio_buffer.cleared")

    def _commit(self, said: Mapping[str, Any]) -> Iterator[Said]:
        if not self._buffer:
            yield self.wrong("The input audio buffer is empty.", "input_audio_buffer_commit_empty", said)
            return
        audio, self._buffer = max(1, self._buffer // BYTES_PER_AUDIO_TOKEN), 0
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": self._desk.ids("item_"), "object": "realtime.item", "type": "message", "status": "completed"}
        before = self._items[-1][0]["id"] if self._items else None
        yield self._event("input_audio_buffer.committed", previous_item_id=before, item_id=item["id"])
        yield from self._place({**item, "role": "user", "content": content}, 0, audio)

    def _respond(self, said: Mapping[str, Any]) -> Iterator[Said]:
        wish = {**self._session, **(said.get("response") or {})}
        modalities = wish.get("output_modalities") or wish.get("modalities") or ["text"]
        text = sum(cost for _, cost, _ in self._items) + -(-characters(wish.get("instructions")) // 4)
        audio = sum(cost for _, _, cost in self._items)
        response = {
            "object": "realtime.response",
            "id": self._desk.ids("resp_"),
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "output_modalities": modalities,
            "usage": None,
            "metadata": wish.get("metadata"),
        }
        yield self._event("response.created", response=response)
        wait = self._charge(text + audio + self._desk.reply_tokens)
        if wait is not None:
            yield self._event("response.done", response=response | _throttled(wait))
            return
        yield from self._speak(response, modalities, text, audio)

    def _speak(self, response: Said, modalities: list[str], text: int, audio: int) -> Iterator[Said]:
        parts = words(self._desk.reply_tokens, text + audio)
        loud = "audio" in modalities
        kind = "output_audio_transcript" if loud else "output_text"
        item: Said = {"id": self._desk.ids("item_"), "object": "realtime.item", "type": "message", "role": "assistant"}
        place = {"response_id": response["id"], "item_id": item["id"], "output_index": 0, "content_index": 0}
        yield self._event(
            "response.output_item.added", response_id=response["id"], output_index=0,
            item={**item, "status": "in_progress", "content": []},
        )  # fmt: skip
        for part in parts:
            if loud:
                yield self._event("response.output_audio.delta", **place, delta=base64.b64encode(_AUDIO).decode())
            yield self._event(f"response.{kind}.delta", **place, delta=part)
        whole = "".join(parts)
        yield self._event(f"response.{kind}.done", **place, **{"transcript" if loud else "text": whole})
        content: Said = (
            {"type": "output_audio", "transcript": whole} if loud else {"type": "output_text", "text": whole}
        )
        item = {**item, "status": "completed", "content": [content]}
        yield self._event("response.output_item.done", response_id=response["id"], output_index=0, item=item)
        yield from self._place(item, len(parts), len(parts) if loud else 0)
        usage, self.cost = _usage(text, audio, len(parts), min(self._cached, text), loud=loud)
        self._cached = text
        done = response | {"status": "completed", "output": [item], "usage": usage}
        yield self._event("response.done", response=done)


def _usage(text: int, audio: int, said: int, cached: int, *, loud: bool) -> tuple[Said, Usage]:
    """As Realtime reports it, and as the ledger keeps it. What is spoken costs a token of audio for each of text."""
    sound = said if loud else 0
    told = {
        "total_tokens": text + audio + said + sound,
        "input_tokens": text + audio,
        "output_tokens": said + sound,
        "input_token_details": {"text_tokens": text, "audio_tokens": audio, "cached_tokens": cached},
        "output_token_details": {"text_tokens": said, "audio_tokens": sound},
    }
    return told, Usage(text + audio, said + sound, cached)


def _throttled(wait: float) -> Said:
    error = {
        "type": "rate_limit_exceeded",
        "code": "rate_limit_exceeded",
        "message": f"Rate limit reached. Please try again in {wait:g}s.",
    }
    return {"status": "failed", "status_details": {"type": "failed", "error": error}}
