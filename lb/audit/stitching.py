"""Puts the pieces of a streamed answer together: of chat, completions, responses and transcriptions."""

from collections.abc import Mapping
from typing import Any

from lb.audit.prompts import Turn, as_text, item_turn

_PIECES = {
    "output_text": "content",
    "refusal": "refusal",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "arguments",
    "audio_transcript": "audio",
    "audio.transcript": "audio",
    "transcript.text": "content",
}
"""`response.<this>.delta`, and what it is a piece of."""
MOST_PLACES = 1024
"""Choices, calls and items of one answer that are told apart; an index beyond is no index."""


class Pieces:
    """One choice or item while it grows."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.last: dict[str, str] = {}
        self.calls: dict[int, Pieces] = {}

    def add(self, name: str, piece: object) -> None:
        """One more piece of a text."""
        if isinstance(piece, str) and piece:
            self.texts.setdefault(name, []).append(piece)

    def put(self, name: str, value: object) -> None:
        """What is told once, such as a role."""
        if isinstance(value, str) and value:
            self.last[name] = value

    def text(self, name: str) -> str:
        return "".join(self.texts.get(name, ()))

    def turn(self, index: int) -> Turn:
        """What it has become."""
        calls = [
            {"id": call.last.get("id", ""), "name": call.text("name"), "arguments": call.text("arguments")}
            for _, call in sorted(self.calls.items())
        ]
        texts: Turn = {name: self.text(name) for name in ("reasoning", "refusal", "audio") if name in self.texts}
        role: Turn = {"role": self.last["role"]} if "role" in self.last else {}
        called: Turn = {"tool_calls": calls} if calls else {}
        finish: Turn = {"finish_reason": self.last["finish_reason"]} if "finish_reason" in self.last else {}
        return {"index": index, **role, "content": self.text("content"), **texts, **called, **finish}


class Stitched:
    """Takes the events of one stream, each as its JSON object."""

    def __init__(self) -> None:
        self.model: str | None = None
        self._places: dict[int, Pieces] = {}
        self._items: dict[int, Turn] = {}
        """Of a response: those that were told whole."""
        self._errors: list[str] = []
        self._whole: list[Turn] | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        """The next event."""
        self._note_model(event.get("model"))
        if event.get("error"):
            self._errors.append(as_text(event["error"]))
        choices = event.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        elif isinstance(event.get("type"), str):
            self._typed(event["type"], event)

    def turns(self) -> list[Turn]:
        """The answer so far."""
        if self._whole is not None:
            found = self._whole
        else:
            grown = {index: pieces.turn(index) for index, pieces in self._places.items()}
            found = [turn for _, turn in sorted({**grown, **self._items}.items())]
        return [*found, *({"error": error} for error in self._errors)]

    def _note_model(self, model: object) -> None:
        if isinstance(model, str) and model:
            self.model = model

    def _place(self, index: object) -> Pieces:
        known = isinstance(index, int) and 0 <= index < MOST_PLACES
        return self._places.setdefault(int(index) if known else 0, Pieces())  # type: ignore[call-overload]

    def _choice(self, choice: Mapping[str, Any]) -> None:
        pieces = self._place(choice.get("index"))
        pieces.add("content", choice.get("text"))
        pieces.put("finish_reason", choice.get("finish_reason"))
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        pieces.put("role", delta.get("role"))
        pieces.add("content", delta.get("content"))
        pieces.add("reasoning", delta.get("reasoning_content"))
        pieces.add("refusal", delta.get("refusal"))
        audio = delta.get("audio")
        pieces.add("audio", audio.get("transcript") if isinstance(audio, dict) else None)
        calls = delta.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            _add_call(pieces, call)
        if isinstance(delta.get("function_call"), dict):
            _add_call(pieces, {"function": delta["function_call"]})

    def _typed(self, kind: str, event: Mapping[str, Any]) -> None:
        """Events of responses and of transcriptions say what they are."""
        response = event.get("response")
        if isinstance(response, dict):
            self._respond(response)
        item = event.get("item")
        if kind.endswith(".output_item.added") and isinstance(item, dict):
            self._begin(event.get("output_index"), item)
        elif kind.endswith(".output_item.done") and isinstance(item, dict):
            index = event.get("output_index")
            self._items[index if isinstance(index, int) else len(self._items)] = item_turn(item)
        elif kind == "error":
            self._errors.append(as_text({name: event[name] for name in ("code", "message") if name in event}))
        elif kind.endswith(".delta"):
            name = _PIECES.get(kind.removeprefix("response.").removesuffix(".delta"))
            if name == "arguments":
                _add_call(self._place(event.get("output_index")), {"function": {"arguments": event.get("delta")}})
            elif name is not None:
                self._place(event.get("output_index")).add(name, event.get("delta"))

    def _respond(self, response: Mapping[str, Any]) -> None:
        self._note_model(response.get("model"))
        if response.get("error"):
            self._errors.append(as_text(response["error"]))
        if response.get("status") in ("completed", "incomplete") and isinstance(response.get("output"), list):
            self._whole = [item_turn(item) for item in response["output"]]

    def _begin(self, index: object, item: Mapping[str, Any]) -> None:
        pieces = self._place(index)
        pieces.put("role", item.get("role"))
        if item.get("type") in ("function_call", "custom_tool_call"):
            _add_call(pieces, {"id": item.get("call_id"), "function": {"name": item.get("name")}})


def _add_call(pieces: Pieces, piece: object) -> None:
    if not isinstance(piece, dict):
        return
    index = piece.get("index", 0)
    known = isinstance(index, int) and 0 <= index < MOST_PLACES
    call = pieces.calls.setdefault(index if known else 0, Pieces())
    call.put("id", piece.get("id"))
    function = piece.get("function") or piece.get("custom")
    if isinstance(function, dict):
        call.add("name", function.get("name"))
        call.add("arguments", function.get("arguments", function.get("input")))
