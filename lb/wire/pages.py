"""The three pages of the traffic port that are never proxied."""

from lb.refusal import error_body

_TEXT = b"text/plain; charset=utf-8"
_FRONT_PAGE = (
    b"lb: a load balancer for Azure OpenAI\n\n"
    b"Use this address as the endpoint or base URL of an OpenAI client.\n"
    b"Health: /healthz while the process lives, /readyz while it takes new work.\n"
)
_DRAINING = error_body("Draining", "The load balancer is shutting down.")

Page = tuple[int, bytes, bytes]
"""Status, content type, body."""


def own_page(method: str, target: bytes, draining: bool) -> Page | None:
    """The page that a request asks for, or None where it is to be proxied."""
    if len(target) > 1 and not target.startswith((b"/healthz", b"/readyz", b"/?")):
        return None
    if method not in ("GET", "HEAD"):
        return None
    match target.partition(b"?")[0]:
        case b"/":
            return 200, _TEXT, _FRONT_PAGE
        case b"/healthz":
            return 200, _TEXT, b"ok\n"
        case b"/readyz":
            return (503, b"application/json", _DRAINING) if draining else (200, _TEXT, b"ok\n")
        case _:
            return None
