"""What the client got: counted where it counts, on the client's side of the balancer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Complaint:
    """One request that did not get its whole answer."""

    kind: str
    text: str
    status: int | None = None
    """None where the answer began well and broke, or never came."""


@dataclass(slots=True)
class Score:
    """Sums of a run. The balancer's `x-lb-*` reply fields say who answered, and after how many attempts."""

    started: int = 0
    whole: Counter[str] = field(default_factory=Counter)
    """Complete answers by kind."""
    backends: Counter[str] = field(default_factory=Counter)
    """Answers by the backend that gave them."""
    absorbed: int = 0
    """Refusals by an endpoint that the client never saw."""
    complaints: list[Complaint] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return self.whole.total()

    def replied(self, status: int, headers: Mapping[str, str]) -> None:
        """Take in a reply's head."""
        if status < 400:
            self.backends[headers.get("x-lb-backend", "?")] += 1
            self.absorbed += int(headers.get("x-lb-attempts", "1")) - 1


def verdict(score: Score, refusals: Mapping[str, int]) -> list[str]:
    """What the balancer did wrong, in words; nothing when all is well.

    `refusals` counts what each simulated endpoint turned away. One that refused nothing always had room, so that no
    429 should have come through; any other error is never right, since no endpoint had any fault.
    """
    roomy = [name for name, refused in refusals.items() if not refused]
    found: Counter[str] = Counter()
    for complaint in score.complaints:
        if complaint.status != 429:
            found[f"{complaint.kind}: {complaint.text}"] += 1
        elif roomy:
            found[f"{complaint.kind}: a 429 while {', '.join(roomy)} had room: {complaint.text}"] += 1
    if not score.answered:
        found["no request was answered"] += 1
    return [f"{count} x {text}" if count > 1 else text for text, count in found.most_common()]
