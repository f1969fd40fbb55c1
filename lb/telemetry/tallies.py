"""The rows of the metrics that count by label: what became of requests, and what replies cost."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from lb.metering.usage import Usage
from lb.telemetry.names import NONE

Snapshot = dict[str, list[list[Any]]]
"""Metric to rows; a row is its label values and then the value: a number, or a histogram's counts and, last, its sum.
Plain enough for JSON, so that workers can hand theirs to each other."""


class Asked:
    """What became of the requests of one tenant for one deployment."""

    __slots__ = ("absorbed", "added", "duration", "ends", "first_byte")

    def __init__(self, size: int) -> None:
        self.ends: dict[tuple[str, int | None], int] = {}
        self.absorbed = 0
        self.duration = [0.0] * size
        self.first_byte = [0.0] * size
        self.added = [0.0] * size

    def show(self, shown: Mapping[str, list[list[Any]]], labels: list[str]) -> None:
        """Add rows to a snapshot."""
        for (outcome, status), count in self.ends.items():
            shown["lb_requests_total"].append([*labels, outcome, str(status or NONE), count])
        shown["lb_absorbed_total"].append([*labels, self.absorbed])
        for name, histogram in (("duration", self.duration), ("first_byte", self.first_byte), ("added", self.added)):
            shown[f"lb_{name}_seconds"].append([*labels, list(histogram)])


class Spent:
    """What the replies of one backend to one tenant cost, for one API."""

    __slots__ = ("audio_in", "audio_out", "audio_seconds", "cached", "completion", "completions", "estimated", "last",
                 "prompt", "prompts", "reasoning", "sources", "total", "totals")  # fmt: skip

    def __init__(self, size: int) -> None:
        self.prompt = self.completion = self.total = 0
        self.cached = self.reasoning = self.audio_in = self.audio_out = self.estimated = 0
        self.audio_seconds = 0.0
        self.last: Usage | None = None
        self.sources = {"reported": 0, "estimated": 0, "unknown": 0}
        self.prompts = [0.0] * size
        self.completions = [0.0] * size
        self.totals = [0.0] * size

    def add(self, usage: Usage, buckets: Sequence[float]) -> None:
        """One more reply."""
        if usage.unknown:
            self.sources["unknown"] += 1
            return
        if usage.estimated:
            self.sources["estimated"] += 1
            self.estimated += usage.total
        else:
            self.sources["reported"] += 1
        self.last = usage
        prompt, completion, total = usage.prompt, usage.completion, usage.total
        self.prompt += prompt
        self.completion += completion
        self.total += total
        self.cached += usage.cached
        self.reasoning += usage.reasoning
        self.audio_in += usage.audio_in
        self.audio_out += usage.audio_out
        self.audio_seconds += usage.audio_seconds
        for histogram, value in ((self.prompts, prompt), (self.completions, completion), (self.totals, total)):
            histogram[bisect_left(buckets, value)] += 1
            histogram[-1] += value

    def show(self, shown: Mapping[str, list[list[Any]]], labels: list[str]) -> None:
        """Add rows to a snapshot."""
        for source, count in self.sources.items():
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
            shown[f"openai_{what}_tokens"].append([*labels, list(histogram)])
        for what, value in (("cached", self.cached), ("reasoning", self.reasoning), ("estimated", self.estimated)):
            shown[f"openai_{what}_tokens_total"].append([*labels, value])
        for direction, value in (("in", self.audio_in), ("out", self.audio_out)):
            shown["openai_audio_tokens_total"].append([*labels, direction, value])
        shown["openai_audio_seconds_total"].append([*labels, self.audio_seconds])
