"""The endpoint's mind: a request in, a decision out. No sockets, no clock, no waiting."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from lb.sim import errors
from lb.sim.answer import Answer, Desk, Ids
from lb.sim.cache import PromptCache
from lb.sim.catalogue import Scene
from lb.sim.chat import chat, completions
from lb.sim.errors import Refusal, Spot
from lb.sim.faults import Faults, Plan
from lb.sim.ledger import Ledger
from lb.sim.limits import Limiter, Standing
from lb.sim.records import Book, Counts
from lb.sim.responses import Kept, respond
from lb.sim.routes import OPERATION_NAMES, Call, route
from lb.sim.settings import Limit, Settings
from lb.sim.tokens import estimate, prompt_tokens
from lb.sim.vectors import embeddings, models, one_model

MOST_DEPLOYMENTS = 1000
"""Limits are kept for so many names; further ones share one."""
CACHED = ("chat", "responses")
"""Operations whose prompts are cached."""
GOOD = Plan(None, [])


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as a decision needs it; field names are looked up without regard to case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Decision:
    """What is to come of a request: a refusal, a body, an answer, or a fault in place of all three."""

    spot: Spot
    plan: Plan = GOOD
    refusal: Refusal | None = None
    found: dict[str, Any] | None = None
    answer: Answer | None = None
    standing: Standing | None = None
    operation: str = ""
    tenant: str = ""
    streams: bool = False

    @property
    def throttled(self) -> bool:
        """Did a limit refuse it?"""
        return self.standing is not None and self.standing.refused is not None


class Endpoint:
    """Everything that one simulated endpoint knows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults = Faults(random.Random(f"faults {settings.seed}"), settings.faults)
        self.ids = Ids(random.Random(f"ids {settings.seed} {settings.name}"))
        self.ledger = Ledger()
        self.received = Book(settings.keep_requests, settings.keep_bytes)
        self.counts = Counts()
        self.kept = Kept()
        self.cache = PromptCache(settings.cache_seconds)
        self._limiters: dict[str, Limiter] = {}
        self._limits = dict(settings.limits)
        self._default = Limit(settings.tpm, settings.rpm)

    def set_limit(self, limit: Limit, deployment: str | None = None) -> None:
        """Limit one deployment anew from now on, or all that have no limit of their own."""
        if deployment is None:
            self._default = limit
            self._limiters.clear()
        else:
            self._limits[deployment] = limit
            self._limiters.pop(deployment, None)

    def decide(self, asked: Asked, now: float, today: float) -> Decision:
        """Decide about one request; `now` in seconds of the clock that limits go by, `today` in seconds since 1970."""
        call = route(asked.method, asked.target)
        spot = Spot("", "", self.settings.model, self.settings.region, call.api_version if call else "")
        if not self._lets_in(asked.headers):
            return Decision(spot, refusal=errors.error("401"))
        if call is None:
            return Decision(spot, refusal=errors.not_found())
        if call.operation in ("models", "model", "response"):
            return self._look_up(asked, call, spot)
        try:
            body = orjson.loads(asked.body)
        except orjson.JSONDecodeError:
            return Decision(spot, refusal=errors.invalid("We could not parse the JSON body of your request."))
        if not isinstance(body, dict):
            return Decision(spot, refusal=errors.invalid("The body of your request must be a JSON object."))
        return self._create(asked, call, body, now, today)

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        keys = self.settings.keys
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return not keys or headers.get("api-key") in keys or bearer in keys

    def _look_up(self, asked: Asked, call: Call, spot: Spot) -> Decision:
        names = (self.settings.name, call.operation)
        plan = self._plan(asked, names, False)
        decision = Decision(spot, plan if isinstance(plan, Plan) else GOOD, operation=call.operation)
        if isinstance(plan, Refusal):
            decision.refusal = plan
        else:
            self.faults.strike(plan)
            if plan.fault is None or plan.fault.fault.scene is not Scene.INSTEAD:
                self._find(asked.method, call, decision)
        return decision

    def _find(self, method: str, call: Call, decision: Decision) -> None:
        item = call.item or ""
        if call.operation == "models":
            decision.found = models(self.settings.deployments, self.settings.model)
        elif call.operation == "model":
            decision.found = one_model(item)
        elif (response := self.kept.get(item)) is None:
            decision.refusal = errors.invalid(f"Response with id '{item}' not found.", status=404)
        elif method == "DELETE":
            self.kept.drop(item)
            decision.found = {"id": item, "object": "response.deleted", "deleted": True}
        else:
            decision.found = response

    def _plan(self, asked: Asked, names: tuple[str, ...], streams: bool) -> Plan | Refusal:
        try:
            return self.faults.plan(names, streams, asked.headers.get("x-sim-fault", ""))
        except ValueError as wrong:
            return errors.invalid(f"x-sim-fault: {wrong}")

    def _create(self, asked: Asked, call: Call, body: dict[str, Any], now: float, today: float) -> Decision:
        deployment = call.deployment or body.get("model")
        if not isinstance(deployment, str) or not deployment:
            spot = Spot("", "", self.settings.model, self.settings.region, call.api_version)
            return Decision(spot, refusal=errors.invalid("you must provide a model parameter", param="model"))
        spot = Spot(
            OPERATION_NAMES[call.operation], deployment, self.settings.model, self.settings.region, call.api_version
        )
        streams = bool(body.get("stream")) and call.operation != "embeddings"
        decision = Decision(spot, operation=call.operation, tenant=_tenant(asked.headers, body), streams=streams)
        if self.settings.deployments and deployment not in self.settings.deployments:
            decision.refusal = errors.error("404")
            return decision
        plan = self._plan(asked, (self.settings.name, deployment, call.operation), streams)
        if isinstance(plan, Refusal):
            decision.refusal = plan
        elif plan.fault is not None and plan.fault.fault.scene is Scene.INSTEAD:
            self.faults.strike(plan)
            decision.plan = plan
        else:
            self._serve(decision, plan, body, now, today)
        return decision

    def _serve(self, decision: Decision, plan: Plan, body: dict[str, Any], now: float, today: float) -> None:
        earlier = body.get("previous_response_id")
        if decision.operation == "responses" and earlier and self.kept.get(earlier) is None:
            text = f"Previous response with id '{earlier}' not found."
            decision.refusal = errors.invalid(text, "previous_response_not_found", "previous_response_id")
            return
        cost = estimate(body, decision.operation != "embeddings")
        standing = self._limiter(decision.spot.deployment).admit(cost, now)
        decision.standing = standing
        if standing.refused:
            decision.refusal = errors.throttled(decision.spot, standing.wait, standing.refused)
            return
        self.faults.strike(plan)
        decision.plan = plan
        told = self.settings
        desk = Desk(self.ids, int(today), told.model, told.reply_tokens, told.embedding_size)
        try:
            if decision.operation in CACHED:
                cached = self.cache.cached(decision.spot.deployment, body, prompt_tokens(body), now)
                desk = replace(desk, cached=cached)
            decision.answer = self._answer(decision.operation, body, desk)
        except (AttributeError, TypeError, KeyError):  # a field of a type that no API allows, wherever it stands
            decision.refusal = errors.invalid("A field of your request has a value of the wrong type.")

    def _answer(self, operation: str, body: dict[str, Any], desk: Desk) -> Answer:
        if operation == "responses":
            return respond(body, desk, self.kept)
        return {"chat": chat, "completions": completions, "embeddings": embeddings}[operation](body, desk)

    def _limiter(self, deployment: str) -> Limiter:
        limiter = self._limiters.get(deployment)
        if limiter is None:
            name = deployment if len(self._limiters) < MOST_DEPLOYMENTS else ""
            limit = self._limits.get(name, self._default)
            fresh = Limiter(limit, self.settings.window_seconds, self.settings.refused_count)
            limiter = self._limiters.setdefault(name, fresh)
        return limiter


def _tenant(headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """Whose request it is, for the ledger: a field of its own, else what the body says of its user."""
    said = headers.get("x-sim-tenant") or body.get("user") or body.get("safety_identifier")
    return said if isinstance(said, str) else "-"
