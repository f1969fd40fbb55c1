"""Requests that name objects: bound to the backend that holds these, and to the tenant whose they are.

Asked between routing and failover (`bind`), when an answer was found (`settle`), and when a reply is relayed that may
tell of objects (`watch`).
"""

import re

from lb.balancing.affinity import Affinity, Apart, Binding, Foreign
from lb.balancing.creations import Creation
from lb.balancing.form_objects import hidden_in_form
from lb.balancing.references import EXACT_MAX, Kind, Reference, Unread, exact, hides, mentions, searched
from lb.balancing.routing import Operation, Route
from lb.balancing.scenes import CHAT, COMBINED, UPLOADS, Scene, scene
from lb.balancing.sticky import Home, key_of
from lb.events import Emit, Healed, Scattered, Trespassed
from lb.exchange import Reply, Request
from lb.failover import Answering
from lb.refusal import Refusal
from lb.spine.learner import Learner

_STORED = re.compile(rb'"store"\s*:\s*true')
_JSON = re.compile(rb"(?:\xef\xbb\xbf)?\s*[{\[]")
_NOT_READING = frozenset({"POST", "HEAD", "OPTIONS"})
"""Methods that tell nothing of what a collection holds. Some servers do not mind the case of the others."""
_UNSEEN = (
    "The messages of this WebSocket may name anybody's objects, so callers that are known by name use HTTP. "
    "LB_RESPONSES_WEBSOCKET=true allows it where all callers may use each other's objects."
)
_SHOWN = 10
"""Objects that an answer names at most."""


class Bindings:
    """One for all requests."""

    def __init__(
        self,
        affinity: Affinity | None,
        emit: Emit,
        *,
        cache_keys: bool = True,
        prefix: int = 0,
        together: bool = True,
        sessions: bool = False,
    ) -> None:
        """Without `affinity` no objects are looked for. `cache_keys` and `prefix` say what keeps prompts together, and
        `together` that a tenant's objects are made in one place: see `balancing.sticky`. `sessions`: who has objects
        of his own may also open a WebSocket whose messages name objects."""
        self.affinity = affinity
        self.together = together
        self.sessions = sessions
        self.cache_keys = cache_keys
        self.prefix = prefix
        self._emit = emit

    def bind(self, request: Request, route: Route) -> Refusal | None:
        """Find out where the request has to go, or why it cannot."""
        body = request.body if isinstance(request.body, bytes) else request.body.prefix
        if route.operation is Operation.INFERENCE and (self.cache_keys or self.prefix):
            request.key = key_of(body, self.prefix, told=self.cache_keys)
        found = None if self.affinity is None else scene(request.target)
        if found is None or self.affinity is None:
            return None
        return self._bind(request, route, self.affinity, found, body)

    def _bind(self, request: Request, route: Route, affinity: Affinity, found: Scene, body: bytes) -> Refusal | None:
        tenant = tenant_of(request)
        unshared = None if tenant is None else _unshared(request, found, self.sessions)
        if unshared is not None:
            return unshared
        if found == CHAT and not mentions(found, body) and (tenant is None or not hides(body)):
            return None  # nearly always, and nearly all requests are chats
        try:
            outcome = _look_up(affinity, found, _text(request, found, body), tenant)
        except Unread as problem:
            if tenant is not None:
                return Refusal(400, "BadRequest", f"It cannot be told which objects this request names: {problem}.")
            outcome = affinity.bind(searched(found, b""), None)
        if isinstance(outcome, Foreign | Apart):
            return self._refuse(request, route, outcome)
        request.binding = outcome
        if self.together and found.collection in COMBINED and (outcome is None or outcome.owner is None):
            request.key = Home.of(tenant)
        return None

    def _refuse(self, request: Request, route: Route, outcome: Foreign | Apart) -> Refusal:
        if isinstance(outcome, Foreign):
            self._emit(Trespassed(request.id, tenant_of(request) or "", route.deployment))
            return _not_there(outcome.reference)
        self._emit(Scattered(request.id, route.deployment, tuple(owner for _, owner in outcome.places)))
        return _scattered(outcome)

    def settle(self, request: Request, answering: Answering, reply: Reply) -> None:
        """An answer was found: what the request names lives where it came from."""
        binding, backend = request.binding, answering.answered_by
        if self.affinity is None or binding is None or backend is None or not 200 <= reply.status < 300:
            return
        self.affinity.learn([Creation(name, False) for name in binding.names], backend.name, None)
        if answering.misses:
            self._emit(Healed(request.id, backend, tuple(answering.misses)))

    def watch(self, request: Request, route: Route, reply: Reply) -> Learner | None:
        """Watches a good reply to a request that makes or reads objects."""
        found = scene(request.target)
        if self.affinity is None or found is None or found.content or request.sent_to is None:
            return None
        if not 200 <= reply.status < 300:
            return None
        if found.collection == "chat" and request.method == "POST" and not _stores(request):
            return None
        named = frozenset[bytes]() if request.binding is None else request.binding.named
        return Learner(self.affinity, request.sent_to, _maker(request), reply, named)


def _unshared(request: Request, found: Scene, sessions: bool) -> Refusal | None:
    """Why somebody who has objects of his own may not ask this, where nobody could tell whose is what it reaches."""
    if found.odd:
        return Refusal(400, "BadRequest", "The path names objects in a way that may be read differently behind us.")
    if request.handshake is not None:
        return None if sessions else Refusal(403, "403", _UNSEEN)
    if found.whole and request.method not in _NOT_READING:
        return Refusal(
            403,
            "403",
            "This would tell of everybody's objects and cannot be narrowed to your own. Ask for single objects by id.",
        )
    return None


def _look_up(affinity: Affinity, found: Scene, body: bytes, tenant: str | None) -> Binding | Foreign | Apart | None:
    """A search tells where to go. What would be refused, and what may be hidden from a search, is read in full."""
    if tenant is not None and hides(body):
        return affinity.bind(exact(found, body), tenant)
    outcome = affinity.bind(searched(found, body), tenant)
    if isinstance(outcome, Foreign | Apart) and 0 < len(body) <= EXACT_MAX:
        return affinity.bind(exact(found, body), tenant)
    return outcome


def tenant_of(request: Request) -> str | None:
    """Whose objects it may name: the tenant, or the caller where there are no tenants; None where nobody is asked."""
    return request.asker.name or request.caller


def _maker(request: Request) -> str | None:
    """Whose is what the reply tells of? Who only knows an id that nobody made here does not become its owner."""
    binding = request.binding
    named = binding is not None and binding.path
    made = request.method == "POST" and not named
    return tenant_of(request) if made or (binding is not None and binding.own) else None


def _stores(request: Request) -> bool:
    body = request.body if isinstance(request.body, bytes) else request.body.prefix
    return b'"store"' in body and _STORED.search(body) is not None


def _text(request: Request, found: Scene, body: bytes) -> bytes:
    """The body where it is JSON. Raises `Unread` where it may name objects, and cannot be searched."""
    why, kept = "", isinstance(request.body, bytes)
    if request.content_encoding.strip().lower() not in (b"", b"identity"):
        why = "its body is compressed"
    elif b"\0" in body[:4]:
        why = "its body is not in UTF-8"
    elif hidden := _hidden(request, found, body, kept):
        why = hidden
    elif _JSON.match(body) is None:
        return b""
    elif not kept:
        why = "its body is too large to be kept"
    if why and body and found.collection != "chat":
        raise Unread(why)
    return b"" if why else body


def _hidden(request: Request, found: Scene, body: bytes, kept: bool) -> str:
    """Only forms for containers are known to name a file in the place of one that they bring."""
    if found.collection in UPLOADS:
        return ""
    return hidden_in_form(request.content_type, body, cut=not kept and found.collection == "containers")


def _not_there(reference: Reference) -> Refusal:
    """As a backend says it that has no such object."""
    name = reference.name.decode("ascii", "replace")
    if reference.kind is Kind.PREVIOUS:
        message = f"Previous response with id '{name}' not found."
        return Refusal(400, "previous_response_not_found", message, param="previous_response_id")
    if reference.kind is Kind.SEALED:
        message = f"The encrypted content {name[:8]}... could not be verified."
        return Refusal(400, "invalid_encrypted_content", message, param="input")
    return Refusal(404, "not_found", f"No such object: {name}", param="id")


def _scattered(apart: Apart) -> Refusal:
    places = [f"{_shown(reference)} on {owner}" for reference, owner in apart.places[:_SHOWN]]
    return Refusal(
        400,
        "ObjectsOnDifferentBackends",
        f"The objects of this request live on different backends, and none of them has all: {', '.join(places)}. "
        "Make them anew on one of them, in one conversation.",
        param="input",
    )


def _shown(reference: Reference) -> str:
    return "encrypted reasoning" if reference.kind is Kind.SEALED else f"`{reference.name.decode('ascii', 'replace')}`"
