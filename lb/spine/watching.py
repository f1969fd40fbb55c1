"""Which replies are watched for what they cost, and what of their requests is needed for that."""

from collections.abc import Callable
from functools import partial

from lb.balancing.routing import Operation, Route
from lb.exchange import Reply, Request
from lb.metering.estimate import BYTES_PER_TOKEN, Count, prompt_tokens
from lb.metering.tap import UsageTap

Watch = Callable[[Request, Route, Reply], UsageTap | None]


def watch(request: Request, route: Route, reply: Reply, *, keep: bool = False) -> UsageTap | None:
    """A tap for the reply, where it may tell what it cost: a good one to a request that makes an answer.

    `keep` keeps prompt and answer of a stream for a tokenizer.
    """
    if route.operation is not Operation.INFERENCE or not 200 <= reply.status < 300:
        return None
    kind = reply.get(b"content-type") or b""
    coding = reply.get(b"content-encoding") or b""
    return UsageTap(kind, coding, _prompt(request, keep), keep=keep)


def _prompt(request: Request, keep: bool) -> Callable[[Count], int]:
    """Counts the prompt. A stream that most likely reports its usage is not worth a good count."""
    body = request.body
    if request.content_encoding or not request.content_type[:16].lower().startswith(b"application/json"):
        return partial(_by_length, 0)
    if not isinstance(body, bytes):
        return partial(_by_length, body.length or len(body.prefix))
    if b'"include_usage"' in body and not keep:
        return partial(_by_length, len(body))
    return partial(prompt_tokens, body)


def _by_length(length: int, count: Count) -> int:
    return length // BYTES_PER_TOKEN
