"""Every fault and oddity that can be asked for, by name, with what it does in a few words."""

from enum import Enum


class Scene(Enum):
    """Where in the life of an answer a fault strikes."""

    INSTEAD = "instead"  # of an answer, before any limit is asked
    ANSWER = "answer"  # an answer is made and goes wrong
    STREAM = "stream"  # as ANSWER, but only an event stream can
    ODDITY = "oddity"  # a strange but valid answer; several can come together
    STREAM_ODDITY = "stream oddity"
    SOCKET = "socket"  # in the middle of an answer on a WebSocket


THROTTLES = {
    "429": "Retry-After, retry-after-ms and the x-ratelimit fields, in the classic words",
    "429-seconds": "only Retry-After",
    "429-ms": "only retry-after-ms",
    "429-x-ms": "only x-ms-retry-after-ms",
    "429-float": "Retry-After as a decimal fraction",
    "429-date": "Retry-After as an HTTP-date",
    "429-reset": "only x-ratelimit-reset-requests and -tokens, as plain seconds",
    "429-reset-text": "the same in the form 6s, 1m30s or 250ms",
    "429-bare": "nothing that says how long",
    "429-minus": "as the Responses API was seen: limits of -1, a reset of 0 and no Retry-After",
    "429-zero": "Retry-After: 0",
    "429-day": "Retry-After: 86400",
    "429-new": "the newer words and code rate_limit_exceeded",
    "429-ptu": "the words of a provisioned deployment, code rate_limit_reached",
    "429-capacity": "the words for high demand",
}
"""Refusals. The argument is the wait in seconds (10 where none is given)."""

ERRORS = {
    "400": "a request that is wrong in itself",
    "content-filter": "400 because the prompt was filtered",
    "401": "a wrong credential",
    "403": "a network rule",
    "404": "DeploymentNotFound",
    "408": "a timeout",
    "500": "an internal error",
    "502": "a bad gateway",
    "503": "unavailable; the argument, if any, is the Retry-After in seconds",
    "504": "a gateway timeout",
}

_INSTEAD = {
    "silence": "accept and never answer",
    "cut-before-head": "close the connection without a byte",
    "reset-before-head": "the same with a TCP reset",
    "cut-mid-head": "close in the middle of the reply's head",
    "garbage": "bytes that are not HTTP",
    "bad-status": "a status line without a sensible status",
    "huge-head": "a reply head of 1 MB",
    "refuse": "refuse connections for the argument's seconds (1), and cut those that exist",
}

_ANSWER = {
    "cut-mid-body": "close after half of the promised bytes (a stream: after half of its events)",
    "bad-chunk": "a chunk whose size is not a number",
    "cl-te": "Content-Length and Transfer-Encoding together",
    "two-lengths": "two Content-Length fields that differ",
    "stall-mid-body": "half of the answer, then silence",
}

_STREAM = {
    "cut-mid-stream": "close after half of the events",
    "reset-mid-stream": "the same with a TCP reset",
    "stream-throttle": "200, then a rate limit error as first event; the argument goes out as Retry-After",
    "stream-throttle-late": "the same after the events that come before content",
    "stream-throttle-content": "the same after the first content: nobody may hide that",
    "stream-throttle-ptu": "the error of a provisioned deployment",
    "stream-throttle-bare": "an error that only says Too Many Requests",
    "stream-capacity": "the error for high demand",
    "stream-error": "a server error as first event",
    "stream-refusal": "a content filter error as first event: not to be retried",
}

_ODDITY = {
    "ok": "nothing: stands in a script for a request that goes well",
    "slow-head": "the argument's seconds (1) before the reply's head",
    "slow-body": "the argument's seconds (0.05) between two pieces of the answer",
    "close": "end the connection after this reply",
    "until-close": "a body that only the connection's end delimits",
    "gzip": "a compressed reply (not a stream)",
    "early-hints": "a 103 before the reply",
}

_STREAM_ODDITY = {
    "split": "bytes split at arbitrary places",
    "coalesce": "several events in one chunk",
    "crlf": "lines that end in CR LF",
    "cr": "lines that end in CR",
    "no-final-blank": "no blank line after the last event",
    "no-usage": "no usage, even if asked for",
    "null-usage": "usage: null where it belongs",
    "no-done": "no [DONE]",
    "comments": "a comment line between events",
    "bom": "a byte order mark at the start",
}

_SOCKET = {
    "socket-close": "a Close frame with the argument's code (1011) in the middle of an answer",
    "socket-cut": "the connection's end, without a Close frame",
    "socket-mid-frame": "the same within a frame",
    "socket-silence": "nothing more, and no end",
}

CATALOGUE: dict[str, tuple[Scene, str]] = {
    **{kind: (Scene.INSTEAD, says) for kind, says in (THROTTLES | ERRORS | _INSTEAD).items()},
    **{kind: (Scene.ANSWER, says) for kind, says in _ANSWER.items()},
    **{kind: (Scene.STREAM, says) for kind, says in _STREAM.items()},
    **{kind: (Scene.ODDITY, says) for kind, says in _ODDITY.items()},
    **{kind: (Scene.STREAM_ODDITY, says) for kind, says in _STREAM_ODDITY.items()},
    **{kind: (Scene.SOCKET, says) for kind, says in _SOCKET.items()},
}
