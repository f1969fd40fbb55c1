"""What the client is told when no backend's answer can be relayed."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from lb.balancing.verdict import Faulted, Misconfigured, Verdict
from lb.refusal import Refusal


class Tried(NamedTuple):
    """A backend that was tried, and what came of it."""

    backend: str
    verdict: Verdict


def all_throttled(seconds: float) -> Refusal:
    """429 with the wait in both of the headers that SDKs read.

    `retry-after-ms` is exact; `Retry-After` is what azure-core needs to retry at all, in whole seconds of at least 1,
    since 0 makes openai-node retry without a pause.
    """
    whole = max(1, math.ceil(seconds))
    return Refusal(
        429,
        "429",
        f"All backends that serve this request are throttled. Please retry after {whole} second{'s' * (whole != 1)}.",
        ((b"retry-after", b"%d" % whole), (b"retry-after-ms", b"%d" % max(1, math.ceil(seconds * 1000)))),
    )


def not_served(deployment: str | None, served: Sequence[str]) -> Refusal:
    """404 for a deployment that no backend has, with those that there are."""
    known = ", ".join(served) or "none"
    return Refusal(
        404, "DeploymentNotFound", f"No backend serves the deployment `{deployment}`. Deployments served here: {known}."
    )


def nobody_left(tried: Sequence[Tried]) -> Refusal:
    """502 or 504 that says which backends were tried and why each failed. Never 401 or 403: our credential is not the
    client's business, and an SDK would blame the client's key."""
    story = "; ".join(f"{name}: {_reason(verdict)}" for name, verdict in tried) or "no backend could be tried"
    if any(isinstance(verdict, Misconfigured) for _, verdict in tried):
        return Refusal(502, "BackendMisconfigured", f"The load balancer's backends are misconfigured. Tried {story}.")
    silent = any(isinstance(verdict, Faulted) and verdict.silent for _, verdict in tried)
    status, code = (504, "GatewayTimeout") if silent else (502, "BadGateway")
    return Refusal(status, code, f"No backend could answer. Tried {story}.")


def _reason(verdict: Verdict) -> str:
    return getattr(verdict, "reason", verdict.said)
