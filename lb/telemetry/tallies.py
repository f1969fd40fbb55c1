"""The rows of the metrics that count by label: what became of requests, and what replies cost."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from lb.metering.usage import Usage
from lb.telemetry.names import NONE

Snapshot = dict[str, list[list[Any]]]
"""Metric to rows; a row is its label values and then the value: a number, or a histogram's counts and, last, its sum.
Plain enough for JSON, so that workers can hand theirs to each other."""


RELAYED = "relayed"


class Asked:
    """What became of the requests of one tenant for one deployment."""

    __slots__ = ("absorbed", "added", "attempts", "duration", "ends", "first_byte", "relayed")

    def __init__(self, size: int) -> None:
        self.relayed: dict[int | None, int] = {}
        """By status; nearly all end so."""
        self.ends: dict[tuple[str, int | None], int] = {}
        self.attempts = 0
        self.absorbed = 0
        """Throttled attempts of requests that another backend then answered."""
        self.duration = [0.0] * size
        self.first_byte = [0.0] * size
        self.added = [0.0] * size

    def end(self, outcome: str, status: int | None) -> None:
        """Of one request."""
        if outcome == RELAYED:
            self.relayed[status] = self.relayed.get(status, 0) + 1
        else:
            self.ends[outcome, status] = self.ends.get((outcome, status), 0) + 1

    def all_ends(self) -> dict[tuple[str, int | None], int]:
        """Requests by outcome and status."""
        return {(RELAYED, status): count for status, count in self.relayed.items()} | self.ends

    def show(self, shown: Mapping[str, list[list[Any]]], labels: list[str]) -> None:
        """Add rows to a snapshot."""
        for (outcome, status), count in self.all_ends().items():
            shown["lb_requests_total"].append([*labels, outcome, str(status or NONE), count])
        shown["lb_absorbed_total"].append([*labels, self.absorbed])
        for name, histogram in (("duration", self.duration), ("first_byte", self.first_byte), ("added", self.added)):
            shown[f"lb_{name}_seconds"].append([*labels, list(histogram)])


class Spent:
    """What the replies of one backend to one tenant cost, for one API."""

    __slots__ = ("audio_in", "audio_out", "audio_seconds", "cached", "completion", "completions", "estimated",
                 "estimates", "last", "prompt", "prompts", "reasoning", "total", "totals", "unknown")  # fmt: skip

    def __init__(self, buckets: int) -> None:
        self.prompt = self.completion = self.total = 0
        self.cached = self.reasoning = self.audio_in = self.audio_out = self.estimated = 0
        self.audio_seconds = 0.0
        self.last: Usage | None = None
        self.estimates = self.unknown = 0
        """Replies whose cost was estimated, and those of which it is not known; of all others it was reported."""
        self.prompts = [0] * (buckets + 1)
        self.completions = [0] * (buckets + 1)
        self.totals = [0] * (buckets + 1)

    def add(self, usage: Usage, buckets: Sequence[float]) -> None:
        """One more reply."""
        prompt, completion, total, cached, reasoning, audio_in, audio_out, seconds, estimated, unknown = usage
        if unknown:
            self.unknown += 1
            return
        if estimated:
            self.estimates += 1
            self.estimated += total
        self.last = usage
        self.prompt += prompt
        self.completion += completion
        self.total += total
        self.prompts[bisect_left(buckets, prompt)] += 1
        self.completions[bisect_left(buckets, completion)] += 1
        self.totals[bisect_left(buckets, total)] += 1
        if cached or reasoning or audio_in or audio_out or seconds:
            self.cached += cached
            self.reasoning += reasoning
            self.audio_in += audio_in
            self.audio_out += audio_out
            self.audio_seconds += seconds

    def show(self, shown: Mapping[str, list[list[Any]]], labels: list[str]) -> None:
        """Add rows to a snapshot."""
        reported = sum(self.totals) - self.estimates
        for source, count in (("reported", reported), ("estimated", self.estimates), ("unknown", self.unknown)):
            shown["lb_usage_total"].append([*labels, source, count])
        last = self.last
        if last is None:
            return  # nothing is known, and that is not zero
        for what, total, latest, histogram in (
            ("prompt", self.prompt, last.prompt, self.prompts),
            ("completion", self.completion, last.completion, self.completions),
            ("total", self.total, last.total, self.totals),
        ):
            shown[f"openai_{what}_tokens_total"].append([*labels, total])
            shown[f"openai_{what}_tokens_processed"].append([*labels, latest])
            shown[f"openai_{what}_tokens"].append([*labels, [*map(float, histogram), float(total)]])
        for what, value in (("cached", self.cached), ("reasoning", self.reasoning), ("estimated", self.estimated)):
            shown[f"openai_{what}_tokens_total"].append([*labels, value])
        for direction, value in (("in", self.audio_in), ("out", self.audio_out)):
            shown["openai_audio_tokens_total"].append([*labels, direction, value])
        shown["openai_audio_seconds_total"].append([*labels, self.audio_seconds])
