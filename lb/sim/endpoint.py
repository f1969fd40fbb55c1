"""The endpoint's mind: a request in, a decision out. No sockets, no clock, no waiting."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lb.sim import errors
from lb.sim.answer import Answer, Desk, Ids
from lb.sim.cache import PromptCache
from lb.sim.catalogue import Scene
from lb.sim.chat import chat, completions
from lb.sim.decision import Asked, Decision
from lb.sim.errors import Refusal, Spot
from lb.sim.faults import Faults, Plan
from lb.sim.ledger import Ledger
from lb.sim.limits import Limiter, Standing
from lb.sim.objects.ask import Ask
from lb.sim.objects.completions import keep
from lb.sim.objects.context import gather
from lb.sim.objects.missing import Refused
from lb.sim.objects.resource import Resource
from lb.sim.objects.routing import Path, find
from lb.sim.reading import read, read_json, tenant
from lb.sim.realtime.opening import Opening, find_opening, is_handshake, key_of
from lb.sim.records import Book, Counts
from lb.sim.responses import respond
from lb.sim.routes import OPERATION_NAMES, Call, route
from lb.sim.settings import Limit, Settings
from lb.sim.tokens import estimate, prompt_tokens
from lb.sim.vectors import embeddings, model_info, models, one_model

MOST_DEPLOYMENTS = 1000
"""Limits are kept for so many names; further ones share one."""
WRONG_TYPE = "A field of your request has a value of the wrong type."


class Endpoint:
    """Everything that one simulated endpoint knows."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.faults = Faults(random.Random(f"faults {settings.seed}"), settings.faults)
        self.ids = Ids(random.Random(f"ids {settings.seed} {settings.name}"))
        self.ledger = Ledger()
        self.received = Book(settings.keep_requests, settings.keep_bytes)
        self.counts = Counts()
        self.resource = Resource(settings.object_bytes)
        self.cache = PromptCache(settings.cache_seconds)
        self._limiters: dict[str, Limiter] = {}
        self._limits = dict(settings.limits)
        self._default = Limit(settings.tpm, settings.rpm)
        self._objects = self._limiter_of(Limit(None, settings.object_rpm))

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
        if is_handshake(asked):
            return self._open(asked, now)
        call = route(asked.method, asked.target)
        path = find(asked.method, asked.target) if call is None else None
        spot = self._spot("", call or path)
        if not self._lets_in(asked.headers):
            return Decision(spot, refusal=errors.error("401"))
        if path is not None:
            return self._keep(asked, path, now, today)
        if call is None:
            return Decision(spot, refusal=errors.not_found())
        if call.operation in ("models", "model", "info"):
            return self._list(asked, call, spot)
        body = read_json(asked.body)
        return (
            Decision(spot, refusal=body) if isinstance(body, Refusal) else self._create(asked, call, body, now, today)
        )

    def charge(self, deployment: str, tokens: int, now: float) -> Standing:
        """Take tokens from a deployment's limit."""
        return self._limiter(deployment).admit(tokens, now)

    def desk(self, today: float) -> Desk:
        """What an operation works with."""
        told = self.settings
        return Desk(self.ids, int(today), told.model, told.reply_tokens, told.embedding_size)

    def _open(self, asked: Asked, now: float) -> Decision:
        """Decide about the handshake of a WebSocket, which counts as a request."""
        opening = find_opening(asked.target)
        spot = self._spot("Realtime_Connect", opening, opening.deployment if opening else "")
        if not self._lets_in(asked.headers) and key_of(asked.target) not in self.settings.keys:
            return Decision(spot, refusal=errors.error("401"))
        if opening is None:
            return Decision(spot, refusal=errors.not_found())
        name = opening.deployment
        if name and self.settings.deployments and name not in self.settings.deployments:
            return Decision(spot, refusal=errors.error("404"), operation=opening.operation)
        decision = Decision(spot, operation=opening.operation, tenant=tenant(asked.headers, {}), opening=opening)
        if not self._struck(
            decision, self._plan(asked, (self.settings.name, name, opening.operation, "socket"), False)
        ):
            decision.standing = standing = self.charge(name, 0, now)
            if standing.refused:
                decision.refusal = errors.throttled(spot, standing.wait, standing.refused)
        return decision

    def _spot(self, operation: str, where: Call | Path | Opening | None, deployment: str = "") -> Spot:
        version = where.api_version if where else ""
        return Spot(operation, deployment, self.settings.model, self.settings.region, version)

    def _lets_in(self, headers: Mapping[str, str]) -> bool:
        keys = self.settings.keys
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return not keys or headers.get("api-key") in keys or bearer in keys

    def _list(self, asked: Asked, call: Call, spot: Spot) -> Decision:
        """Show the deployments as models, or one of them."""
        decision = Decision(spot, operation=call.operation)
        if self._struck(decision, self._plan(asked, (self.settings.name, call.operation), False)):
            return decision
        if call.operation == "models":
            decision.found = models(self.settings.deployments, self.settings.model)
        elif call.operation == "info":
            decision.found = model_info(self.settings.model)
        else:
            decision.found = one_model(call.item or "")
        return decision

    def _plan(self, asked: Asked, names: tuple[str, ...], streams: bool) -> Plan | Refusal:
        try:
            return self.faults.plan(names, streams, asked.headers.get("x-sim-fault", ""))
        except ValueError as wrong:
            return errors.invalid(f"x-sim-fault: {wrong}")

    def _struck(self, decision: Decision, plan: Plan | Refusal) -> bool:
        """Carry a plan out; does it leave nothing to be served?"""
        if isinstance(plan, Refusal):
            decision.refusal = plan
            return True
        self.faults.strike(plan)
        decision.plan = plan
        return plan.fault is not None and plan.fault.fault.scene is Scene.INSTEAD

    def _keep(self, asked: Asked, path: Path, now: float, today: float) -> Decision:
        """Serve a request for objects that the resource keeps."""
        spot = self._spot(path.operation, path)
        both = read(asked)
        if isinstance(both, Refusal):
            return Decision(spot, refusal=both)
        body, form = both
        streams = path.query.get("stream") == "true" or body.get("stream") is True
        decision = Decision(spot, operation=path.operation, tenant=tenant(asked.headers, body), streams=streams)
        family = path.operation.partition(".")[0]
        if self._struck(decision, self._plan(asked, (self.settings.name, path.operation, family), streams)):
            return decision
        decision.standing = standing = self._objects.admit(0, now)
        if standing.refused:
            decision.refusal = errors.throttled(spot, standing.wait, standing.refused)
            return decision
        ask = Ask(path.names, path.query, body, form, self.desk(today), len(asked.body))
        try:
            found = path.way(self.resource, ask)
        except Refused as refused:
            decision.refusal = refused.refusal
        except (AttributeError, TypeError, KeyError):
            decision.refusal = errors.invalid(WRONG_TYPE)
        else:
            if isinstance(found, Answer):
                decision.answer = found
            else:
                decision.found = found
        return decision

    def _create(self, asked: Asked, call: Call, body: dict[str, Any], now: float, today: float) -> Decision:
        deployment = call.deployment or body.get("model")
        if not isinstance(deployment, str) or not deployment:
            refusal = errors.invalid("you must provide a model parameter", param="model")
            return Decision(self._spot("", call), refusal=refusal)
        spot = self._spot(OPERATION_NAMES[call.operation], call, deployment)
        streams = bool(body.get("stream")) and call.operation != "embeddings"
        decision = Decision(spot, operation=call.operation, tenant=tenant(asked.headers, body), streams=streams)
        if self.settings.deployments and deployment not in self.settings.deployments:
            decision.refusal = errors.error("404")
            return decision
        plan = self._plan(asked, (self.settings.name, deployment, call.operation), streams)
        if isinstance(plan, Refusal):
            decision.refusal = plan
        elif plan.fault is not None and plan.fault.fault.scene is Scene.INSTEAD:
            self._struck(decision, plan)
        else:
            self._serve(decision, plan, body, now, today)
        return decision

    def _serve(self, decision: Decision, plan: Plan, body: dict[str, Any], now: float, today: float) -> None:
        """Ask the limits first, as the real thing does: a throttled resource does not say what it does not have."""
        cost = estimate(body, decision.operation != "embeddings")
        decision.standing = standing = self._limiter(decision.spot.deployment).admit(cost, now)
        if standing.refused:
            decision.refusal = errors.throttled(decision.spot, standing.wait, standing.refused)
            return
        try:
            decision.answer = self._answer(decision, body, now, self.desk(today))
        except Refused as refused:
            decision.refusal = refused.refusal
        except (AttributeError, TypeError, KeyError):  # a field of a type that no API allows, wherever it stands
            decision.refusal = errors.invalid(WRONG_TYPE)
        else:
            self._struck(decision, plan)

    def _answer(self, decision: Decision, body: dict[str, Any], now: float, desk: Desk) -> Answer:
        match decision.operation:
            case "responses":
                context = gather(body, self.resource, decision.spot.api_version)
                return respond(context, self._cached(decision, context.prompt, now, desk), self.resource)
            case "chat" if body.get("store") and not body.get("stream"):
                answer = chat(body, self._cached(decision, body, now, replace(desk, ids=self.resource.ids)))
                keep(self.resource, body, answer.body or {})
                return answer
            case "chat":
                return chat(body, self._cached(decision, body, now, desk))
            case "completions":
                return completions(body, desk)
        return embeddings(body, desk)

    def _cached(self, decision: Decision, prompt: dict[str, Any], now: float, desk: Desk) -> Desk:
        cached = self.cache.cached(decision.spot.deployment, prompt, prompt_tokens(prompt), now)
        return replace(desk, cached=cached) if cached else desk

    def _limiter(self, deployment: str) -> Limiter:
        limiter = self._limiters.get(deployment)
        if limiter is None:
            name = deployment if len(self._limiters) < MOST_DEPLOYMENTS else ""
            fresh = self._limiter_of(self._limits.get(name, self._default))
            limiter = self._limiters.setdefault(name, fresh)
        return limiter

    def _limiter_of(self, limit: Limit) -> Limiter:
        return Limiter(limit, self.settings.window_seconds, self.settings.refused_count)
