"""What goes wrong in the soak, how often, and who must not notice."""

COOLDOWN = 0.4
"""Seconds: LB_MAX_COOLDOWN_SECONDS, so that what is throttled comes back within the run."""
LATENCY = (0.05, 0.45)
"""Seconds until a reply's head: so that 200 requests at once meet everything that happens."""
PATIENCE = 1.0
"""Seconds: the first-event limit in one kind of phase, the idle limit in the other."""

FAULTS = ("500", "502", "503", "504", "408", "cut-before-head", "reset-before-head", "cut-mid-head", "garbage",
          "bad-status", "huge-head", "cl-te", "two-lengths")  # fmt: skip
"""Retried within the fault budget: 20 % of the requests of 10 s."""
STREAM_FAULTS = ("stream-error",)
THROTTLES = ("429:0.4", "429-seconds:1", "429-ms:0.3", "429-x-ms:0.3", "429-float:0.3", "429-date:1", "429-reset:1",
             "429-reset-text:0.4", "429-bare", "429-minus", "429-zero", "429-day", "429-new:0.3", "429-ptu:0.3",
             "429-capacity:0.3", "503:1")  # fmt: skip
STREAM_THROTTLES = ("stream-throttle:1", "stream-throttle-late:1", "stream-throttle-ptu", "stream-throttle-bare",
                    "stream-capacity")  # fmt: skip
SILENCE = "silence"
REFUSE = "refuse:0.15"

VISIBLE = ("400", "content-filter")
"""Relayed: they are about the request."""
STREAM_VISIBLE = ("stream-throttle-content", "stream-refusal")
CUTS = ("cut-mid-body", "bad-chunk")
STREAM_CUTS = ("cut-mid-stream", "reset-mid-stream")
STALL = "stall-mid-body"

ODDITIES = ("close", "until-close", "early-hints", "slow-body:0.01")
# (The SDK overlooks a last event without a blank line behind it, as the standard has it; a chat's is only [DONE].)
STREAM_ODDITIES = ("split", "coalesce", "crlf", "cr", "chat=no-final-blank", "no-usage", "null-usage", "comments",
                   "bom")  # fmt: skip

CUTTING = {*CUTS, *STREAM_CUTS, STALL}
SEEN = {*VISIBLE, *STREAM_VISIBLE}
ABSORBED = [
    *[kind.partition(":")[0] for kind in (*FAULTS, *STREAM_FAULTS) if kind != "503"],
    *[kind.partition(":")[0] for kind in (*THROTTLES, *STREAM_THROTTLES) if kind != "503:1"],
    "503 with Retry-After", "503 without Retry-After", "connection refused", "first-event limit", "idle limit",
]  # fmt: skip
"""Each of these has to be absorbed often enough."""


def rules(turn: int, patience: float, *, idle_limit: bool) -> list[str]:
    """The rules of a misbehaving endpoint. `idle_limit`: the idle limit is short, else the first-event limit is.

    The first rule that fits strikes, so which comes first changes with the turn.
    """
    found = [f"{SILENCE}@0.065", f"{STALL}@0.002"] if idle_limit else [f"slow-head:{3 * patience:g}@0.05"]
    found += [f"{REFUSE}@0.0016"]
    found += [f"{kind}@0.055" for kind in STREAM_THROTTLES]
    found += [f"{kind}@0.065" for kind in STREAM_FAULTS]
    found += [f"{kind}@0.026" for kind in FAULTS]
    found += [f"{kind}@0.036" for kind in THROTTLES]
    found += [f"{kind}@0.002" for kind in (*VISIBLE, *CUTS)]
    found += [f"{kind}@0.004" for kind in (*STREAM_VISIBLE, *STREAM_CUTS)]
    found += [f"{kind}@0.01" for kind in (*ODDITIES, *STREAM_ODDITIES)]
    first = turn * 11 % len(found)
    return found[first:] + found[:first]


def wait_told(kind: str, value: float | None) -> float:
    """For how long a throttled endpoint is left alone, in seconds from the request on."""
    if kind.startswith("stream"):
        return COOLDOWN + LATENCY[1]  # it is told in the body
    if not value or kind in ("429-zero", "429-minus", "429-bare", "429-day"):
        return COOLDOWN
    return min(value, COOLDOWN)
