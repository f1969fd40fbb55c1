"""Who may send this request, and is it within their budget? Asked between routing and failover, if there are tenants.

What tells a tenant's refusal from a backend's: its code, the field `x-lb-limit`, the outcome `refused`, its log line.
"""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import unquote_to_bytes

from lb.balancing.asker import Asker
from lb.balancing.backend import Backend
from lb.balancing.routing import Operation, Route
from lb.events import Emit, OverQuota
from lb.exchange import Headers, Request
from lb.metering.budget import Estimate, Refused, Standing
from lb.metering.quota import Quota, Ticket
from lb.metering.reckoning import reckon
from lb.metering.tap import call_of
from lb.metering.tenant import Source, Tenant, Tenants, Unidentified
from lb.metering.usage import Usage
from lb.refusal import Refusal

ONLY_CALLER = (Source.CALLER,)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NO_ANSWER = ("embeddings", "moderations")
"""Calls whose reply costs nothing."""
_JSON = b"application/json"


class Admission:
    """Finds the tenant of a request, and reserves what it may cost."""

    def __init__(self, quota: Quota, clock: Callable[[], float], emit: Emit) -> None:
        self.quota = quota
        self._clock = clock
        self._emit = emit
        self.replace(Tenants(), b"x-tenant", b"tenant", ())

    def replace(self, tenants: Tenants, header: bytes, parameter: bytes, backends: Sequence[Backend]) -> list[str]:
        """Take over a new configuration; `header` and `parameter` are in lower case.

        Returns the tenants whose limits cannot be kept for want of room.
        """
        self._tenants = tenants
        self._only_caller = tenants.sources == ONLY_CALLER
        self._header = header
        self._parameter = parameter
        self._askers = {tenant.name: _asker(tenant, backends) for tenant in tenants.all}
        self._backends = tuple(backends)
        self._callers: dict[str | None, Tenant | Refusal | None] = {}
        """Whose requests a caller's are, where nothing else is asked. Callers' names are the configuration's."""
        return self.quota.replace(tenants.all)

    def identify(self, request: Request) -> Tenant | Refusal | None:
        """Whose request is it? The query's hint is taken out of the target."""
        if not self._only_caller:
            return self._by_hints(request)
        caller = request.caller
        if caller not in self._callers:
            self._callers[caller] = self._by_hints(request)
        return self._callers[caller]

    def _by_hints(self, request: Request) -> Tenant | Refusal | None:
        said: dict[Source, str] = {}
        if request.caller is not None:
            said[Source.CALLER] = request.caller
        for source in self._tenants.sources:
            if source is Source.CALLER:
                continue
            values = self._in_header(request) if source is Source.HEADER else self._in_query(request)
            hint = _one(values)
            if isinstance(hint, Refusal):
                return hint
            said[source] = hint
        found = self._tenants.find(said)
        return self._unidentified(found) if isinstance(found, Unidentified) else found

    def admit(self, request: Request, route: Route, tenant: Tenant) -> Refusal | None:
        """Let it in, with a ticket and as an asker; or say why not."""
        if request.handshake is not None or tenant.deployments is not None or tenant.pinned:
            refusal = _unseen(request, tenant) or self._forbidden(route, tenant)
            if refusal is not None:
                return refusal
        now = self._clock()
        found = self.quota.reserve(now, tenant.name, route.deployment, _estimate(request, route))
        if isinstance(found, Ticket):
            request.ticket = found
            if request.handshake is not None:
                request.spend = partial(self._spend, found)
            request.asker = self._askers.get(tenant.name) or Asker(tenant.name)
            return None
        self._emit(OverQuota(request.id, tenant.name, route.deployment, found.limit.name, found.seconds))
        return _over(tenant, found, self.quota.standings(now, tenant.name, route.deployment))

    def _spend(self, ticket: Ticket, usage: Usage) -> None:
        self.quota.spend(self._clock(), ticket, usage)

    def _forbidden(self, route: Route, tenant: Tenant) -> Refusal | None:
        if tenant.deployments is not None:
            if route.deployment is None and route.operation is Operation.INFERENCE:
                return Refusal(400, "BadRequest", f"The request names no deployment and must: {route.unnamed}.")
            if route.deployment is not None and not tenant.may_call(route.deployment):
                allowed = ", ".join(sorted(tenant.deployments))
                message = f"`{tenant.name}` may not call the deployment `{route.deployment}`. Allowed are: {allowed}."
                return Refusal(403, "403", message)
        if tenant.pinned and not any(b.name in tenant.backends and b.serves(route.deployment) for b in self._backends):
            message = f"No backend of `{tenant.name}` serves the deployment `{route.deployment}`."
            return Refusal(404, "DeploymentNotFound", message)
        return None

    def _unidentified(self, why: Unidentified) -> Refusal:
        if why is Unidentified.UNKNOWN:
            message = "Access denied: the request is from nobody who is known here as a tenant."
            return Refusal(401, "401", message, ((b"WWW-Authenticate", b"Bearer"),))
        ways = {
            Source.CALLER: "a credential of a tenant",
            Source.HEADER: f"the header field {self._header.decode()}",
            Source.QUERY: f"the query parameter {self._parameter.decode()}",
        }
        listed = " or ".join(ways[source] for source in self._tenants.sources)
        return Refusal(400, "TenantMissing", f"The request does not say whose it is: {listed} is missing.")

    def _in_header(self, request: Request) -> set[bytes]:
        return {value.strip() for name, value in request.headers if name.lower() == self._header} - {b""}

    def _in_query(self, request: Request) -> set[bytes]:
        """The parameter's values; it is for us, so it goes no further. Every other byte of the target stays."""
        path, mark, query = request.target.partition(b"?")
        if not mark or (self._parameter not in query.lower() and b"%" not in query):
            return set()
        pairs = query.split(b"&")
        kept = [pair for pair in pairs if unquote_to_bytes(pair.partition(b"=")[0]).lower() != self._parameter]
        if len(kept) == len(pairs):
            return set()
        request.target = path + mark + b"&".join(kept) if kept else path
        return {unquote_to_bytes(pair.partition(b"=")[2]).strip() for pair in pairs if pair not in kept} - {b""}


def _unseen(request: Request, tenant: Tenant) -> Refusal | None:
    """A WebSocket whose messages name deployments is not for whom it matters which one: only its address is read."""
    if request.handshake is None or not (tenant.deployments is not None or tenant.deployment_limits):
        return None
    if call_of(request.target) == "realtime":
        return None
    message = (
        f"`{tenant.name}` has its own deployments or limits for them, and the messages of this WebSocket name any."
    )
    return Refusal(403, "403", message)


def _one(values: set[bytes]) -> str | Refusal:
    """The name that a hint says; two different ones would be read differently by different readers."""
    if not values:
        return ""
    name = values.pop().decode("ascii", "replace")
    if values or not _NAME.fullmatch(name):
        return Refusal(400, "BadRequest", "The request must name one tenant, by letters, digits and any of . _ -")
    return name


def _asker(tenant: Tenant, backends: Sequence[Backend]) -> Asker:
    strangers = frozenset(backend.name for backend in backends if backend.name not in tenant.backends)
    own = bool(tenant.backends)
    return Asker(tenant.name, tenant.priority, tenant.weight, strangers if own else frozenset(), tenant.pinned)


def _estimate(request: Request, route: Route) -> Estimate:
    if request.handshake is not None:
        return Estimate(1)  # a session is counted as it goes, but none may begin on a budget that is used up
    if route.operation is not Operation.INFERENCE:
        return Estimate()
    body = request.body
    answers = call_of(request.target) not in _NO_ANSWER
    plain = (request.content_type == _JSON and not request.content_encoding) or _is_plain(request)
    if isinstance(body, bytes):
        return reckon(body, answers=answers, plain=plain)
    return reckon(body.prefix, length=body.length, answers=answers, plain=plain)


def _is_plain(request: Request) -> bool:
    coded = request.content_encoding.strip().lower() not in (b"", b"identity")
    return not coded and request.content_type.partition(b";")[0].strip().lower() != b"multipart/form-data"


def _over(tenant: Tenant, refused: Refused, standings: Sequence[Standing]) -> Refusal:
    """429 with the wait in both of the headers that SDKs read, and the tenant's budget in Azure's; without a wait 400,
    since SDKs would wait for nothing."""
    limit = refused.limit
    of = f"{limit.limit} {limit.name.replace('_', ' ')}" + (f" for `{limit.deployment}`" if limit.deployment else "")
    told = (*_ratelimit(standings, limit), (b"x-lb-limit", limit.name.encode()))
    if refused.seconds is None:
        message = f"The prompt is larger than the whole budget of tenant `{tenant.name}`, {of}. Shorten it."
        return Refusal(400, "RequestExceedsQuota", message, told)
    milliseconds = max(1, math.ceil(round(refused.seconds * 1000, 3)))
    seconds = -(-milliseconds // 1000)
    message = f"Tenant `{tenant.name}` has used up its budget of {of}. Please retry after {seconds} seconds."
    wait = ((b"retry-after", b"%d" % seconds), (b"retry-after-ms", b"%d" % milliseconds))
    return Refusal(429, "TenantQuotaExceeded", message, (*wait, *told))


def _ratelimit(standings: Sequence[Standing], refused: Standing) -> Headers:
    """The tightest budget of tokens, and that of requests; the one that refuses comes before any other of its kind."""
    fields: list[tuple[bytes, bytes]] = []
    for kind in ("requests", "tokens"):
        of_kind = [standing for standing in standings if standing.name.startswith(kind)]
        if not of_kind:
            continue
        tightest = refused if refused.name.startswith(kind) else min(of_kind, key=lambda found: found.remaining)
        for what, value in (("limit", tightest.limit), ("remaining", tightest.remaining), ("reset", tightest.reset)):
            fields.append((f"x-ratelimit-{what}-{kind}".encode(), b"%d" % math.ceil(value)))
    return fields
