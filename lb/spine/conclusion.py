"""What the client is told when no backend's answer can be relayed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from lb.balancing.verdict import Faulted, Misconfigured, Unsent, Verdict
from lb.refusal import Refusal


class Tried(NamedTuple):
    """A backend that was tried, and what came of it."""

    backend: str
    verdict: Verdict


def all_throttled(seconds: float, told: str = "All backends that serve this request are throttled.") -> Refusal:
    """429 with the wait in both of the headers that SDKs read.

    `retry-after-ms` is exact; `Retry-After` is what azure-core needs to retry at all, in whole seconds of at least 1,
    since 0 makes openai-node retry without a pause.
    """
    milliseconds = max(1, math.ceil(round(seconds * 1000, 3)))  # not one more for an error of the arithmetic
    whole = -(-milliseconds // 1000)
    return Refusal(
        429,
        "429",
        f"{told} Please retry after {whole} second{'s' * (whole != 1)}.",
        ((b"retry-after", b"%d" % whole), (b"retry-after-ms", b"%d" % milliseconds)),
    )


def cannot_send_again(seconds: float) -> Refusal:
    """429 for a body that was sent once, to a backend that turned out to be throttled."""
    return all_throttled(
        seconds,
        "The backend that took this request is throttled, and its body was too large to be kept for another one.",
    )


def not_served(deployment: str | None, served: Sequence[str]) -> Refusal:
    """404 for a deployment that no backend has, with those that there are."""
    known = ", ".join(served) or "none"
    return Refusal(
        404, "DeploymentNotFound", f"No backend serves the deployment `{deployment}`. Deployments served here: {known}."
    )


def nobody_left(tried: Sequence[Tried], taken_out: Sequence[str] = ()) -> Refusal:
    """502 or 504 that says which backends were tried and why each failed. Never 401 or 403: our credential is not the
    client's business, and an SDK would blame the client's key. 503 where operators have taken all of them out, and
    where we are short of what it takes to ask."""
    if taken_out and not tried:
        names = ", ".join(taken_out)
        return Refusal(503, "BackendsTakenOut", f"No backend could be asked: operators have taken out {names}.")
    told = [*(f"{name}: {_reason(verdict)}" for name, verdict in tried), *(f"{name}: taken out" for name in taken_out)]
    story = "; ".join(told) or "no backend could be tried"
    if any(isinstance(verdict, Misconfigured) for _, verdict in tried):
        return Refusal(502, "BackendMisconfigured", f"The load balancer's backends are misconfigured. Tried {story}.")
    if any(isinstance(verdict, Unsent) for _, verdict in tried):
        return Refusal(503, "ServerBusy", f"The load balancer is overloaded. Tried {story}.", ((b"retry-after", b"1"),))
    silent = any(isinstance(verdict, Faulted) and verdict.silent for _, verdict in tried)
    status, code = (504, "GatewayTimeout") if silent else (502, "BadGateway")
    return Refusal(status, code, f"No backend could answer. Tried {story}.")


def _reason(verdict: Verdict) -> str:
    return getattr(verdict, "reason", verdict.said)
