"""What the benchmark's backend says, shaped as Azure OpenAI says it."""

import json
import time

COMPLETION = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1763700000,
        "model": "gpt-5.4-mini-2026-03-17",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "All is well. " * 50}}
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": 160, "total_tokens": 360},
    }
).encode()
_COMMON = (
    b"x-ratelimit-remaining-requests: 99\r\nx-ratelimit-remaining-tokens: 149500\r\n"
    b"apim-request-id: 0f7c6a52-6d5e-4a67-9f0c-3f6f2f1c0a11\r\nx-ms-region: East US\r\n"
    b"strict-transport-security: max-age=31536000\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
)
_FRAMED = b"content-type: application/json\r\ncontent-length: %d\r\n"
_LIMITED = b'{"error":{"code":"429","message":"Requests have exceeded token rate limit. Please retry after 1 second."}}'
_BROKEN = b'{"error":{"code":"InternalServerError","message":"The server had an error."}}'

OK = b"HTTP/1.1 200 OK\r\n" + _FRAMED % len(COMPLETION) + _COMMON + b"\r\n" + COMPLETION
THROTTLED = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after-ms: 1\r\n" + _FRAMED % len(_LIMITED) + _COMMON + b"\r\n" + _LIMITED
)
"""Throttled for a millisecond, so that the next request for the deployment meets it again."""
FAILED = b"HTTP/1.1 500 Internal Server Error\r\n" + _FRAMED % len(_BROKEN) + _COMMON + b"\r\n" + _BROKEN
STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
    + _COMMON
    + b"\r\n"
)
DONE = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
_EVENT = (
    b'data: {"choices":[{"content_filter_results":{},"delta":{"content":"t=%019d "},"finish_reason":null,"index":0,'
    b'"logprobs":null}],"created":1763700000,"id":"chatcmpl-bench","model":"gpt-5.4-mini-2026-03-17",'
    b'"object":"chat.completion.chunk","system_fingerprint":"fp_bench"}\n\n'
)


def usual_event(number: int) -> bytes:
    """An event of a chat stream, without framing."""
    return _EVENT % number


def event() -> bytes:
    """One chunk with one event that tells when it was made, in nanoseconds of the monotonic clock."""
    text = usual_event(time.monotonic_ns())
    return b"%x\r\n%b\r\n" % (len(text), text)
