"""What a request asks, as turns of a conversation: `{"role": ..., "content": ...}`, all texts plain."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Turn = dict[str, Any]


def turns_of(call: str, asked: object) -> list[Turn]:
    """The prompt of a request whose body is this JSON. What is not known is given as its JSON text."""
    if not isinstance(asked, dict):
        return [_turn("user", as_text(asked))]
    if call == "responses":
        return list(_responses(asked))
    if isinstance(asked.get("messages"), list):
        return [_message(message) for message in asked["messages"]]
    for name in ("prompt", "input"):
        if name in asked:
            return [_turn("user", text) for text in _inputs(asked[name])]
    return [_turn("user", as_text(asked))]


def tools_of(asked: object) -> list[str]:
    """The names of the tools that a request offers."""
    tools = asked.get("tools") if isinstance(asked, dict) else None
    found = []
    for tool in tools if isinstance(tools, list) else ():
        if isinstance(tool, dict):
            function = tool.get("function")
            name = function.get("name") if isinstance(function, dict) else tool.get("name") or tool.get("type")
            found.append(as_text(name))
    return found


def user_of(asked: object) -> str | None:
    """Whom the caller says it asks for: `safety_identifier`, or `user` as it was called before."""
    names = ("safety_identifier", "user")
    found = next((asked[name] for name in names if asked.get(name)), None) if isinstance(asked, dict) else None
    return found if isinstance(found, str) else None


def content_text(content: object) -> str:
    """A message's content: its text, and what else is in it by its kind and size."""
    if isinstance(content, list):
        return "\n".join(_part(part) for part in content)
    return as_text(content)


def as_text(value: object) -> str:
    """A text as it is; anything else as compact JSON; nothing for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), skipkeys=True, default=str)


def _turn(role: object, content: str, **more: object) -> Turn:
    return {"role": as_text(role), "content": content, **{name: value for name, value in more.items() if value}}


def _message(message: object) -> Turn:
    if not isinstance(message, dict):
        return _turn("user", as_text(message))
    return _turn(
        message.get("role"),
        content_text(message.get("content")),
        name=as_text(message.get("name")),
        refusal=as_text(message.get("refusal")),
        tool_calls=calls_of(message),
        tool_call_id=as_text(message.get("tool_call_id")),
    )


def calls_of(message: Mapping[str, Any]) -> list[Turn]:
    """The tools that a message calls, by name and arguments; the older `function_call` as one of them."""
    calls = message.get("tool_calls")
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    if isinstance(message.get("function_call"), dict):
        found.append({"function": message["function_call"]})
    return [_call(call) for call in found]


def _call(call: Mapping[str, Any]) -> Turn:
    """A custom tool has an `input` where a function has `arguments`."""
    function = call.get("function") or call.get("custom")
    called: Mapping[str, Any] = function if isinstance(function, dict) else {}
    arguments = called.get("arguments", called.get("input"))
    return {"id": as_text(call.get("id")), "name": as_text(called.get("name")), "arguments": as_text(arguments)}


def _responses(asked: Mapping[str, Any]) -> Iterator[Turn]:
    if asked.get("instructions"):
        yield _turn("system", content_text(asked["instructions"]))
    said = asked.get("input")
    if isinstance(said, list):
        yield from map(item_turn, said)
    elif said is not None:
        yield _turn("user", as_text(said))


def item_turn(item: object) -> Turn:
    """An item of the Responses API: a message, a call of a tool and its output, a thought; others as JSON."""
    if not isinstance(item, dict):
        return _turn("user", as_text(item))
    kind = item.get("type", "message")
    if kind == "message":
        return _turn(item.get("role"), content_text(item.get("content")))
    if kind in ("function_call", "custom_tool_call"):
        called = {"id": as_text(item.get("call_id")), "name": as_text(item.get("name"))}
        arguments = as_text(item.get("arguments", item.get("input")))
        return _turn("assistant", "", tool_calls=[{**called, "arguments": arguments}])
    if kind in ("function_call_output", "custom_tool_call_output"):
        return _turn("tool", content_text(item.get("output")), tool_call_id=as_text(item.get("call_id")))
    if kind == "reasoning":
        summary = content_text(item.get("content")) or content_text(item.get("summary"))
        return _turn("assistant", "", reasoning=summary)
    return _turn(kind, as_text({name: value for name, value in item.items() if name != "type"}))


def _inputs(said: object) -> list[str]:
    """A text, a list of texts, tokens, or lists of tokens."""
    if not isinstance(said, list):
        return [as_text(said)]
    return [f"[{len(said)} tokens]"] if _are_tokens(said) else [_input(one) for one in said]


def _input(said: object) -> str:
    return f"[{len(said)} tokens]" if isinstance(said, list) and _are_tokens(said) else as_text(said)


def _are_tokens(said: list[Any]) -> bool:
    return bool(said) and all(isinstance(token, int) for token in said)


def _part(part: object) -> str:
    if not isinstance(part, dict):
        return as_text(part)
    for name in ("text", "refusal"):
        if isinstance(part.get(name), str):
            return str(part[name])
    if "image_url" in part:
        image = part["image_url"]
        return _attached("image", image.get("url") if isinstance(image, dict) else image)
    if isinstance(part.get("input_audio"), dict):
        return _attached("audio", part["input_audio"].get("data"))
    if part.get("type") in ("file", "input_file"):
        file = part.get("file")
        of = file if isinstance(file, dict) else part
        return _attached("file", of.get("file_data") or of.get("file_url") or of.get("filename") or of.get("file_id"))
    return as_text(part)


def _attached(kind: str, content: object) -> str:
    """An address or a name as it stands; what is encoded in the request by its length."""
    text = as_text(content)
    encoded = text.startswith("data:") or (kind == "audio") or len(text) > 2048
    return f"[{kind}, {len(text)} characters]" if encoded else f"[{kind} {text}]"
