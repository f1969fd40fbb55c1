"""What is to go wrong, when and how often, and what really did. Pure but for the injected randomness."""

import random
import re
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from lb.sim.catalogue import CATALOGUE, Scene

_FORM = re.compile(
    r"(?:(?P<target>[^=@*]+)=)?(?P<kind>[a-z0-9-]+)(?::(?P<value>-?[0-9.]+))?"
    r"(?:@(?P<chance>[0-9.]+))?(?:\*(?P<times>[0-9]+))?"
)
ODD = (Scene.ODDITY, Scene.STREAM_ODDITY)
STREAMING = (Scene.STREAM, Scene.STREAM_ODDITY)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong once."""

    kind: str
    value: float | None = None

    @property
    def scene(self) -> Scene:
        return CATALOGUE[self.kind][0]

    def seconds(self, default: float) -> float:
        """The argument, for faults that take time."""
        return default if self.value is None else self.value


@dataclass(slots=True)
class Rule:
    """A fault with the requests that it strikes."""

    fault: Fault
    target: str | None = None
    """Only this deployment, operation or endpoint."""
    chance: float = 1.0
    times: int | None = None
    """How often it still strikes; None: for ever."""

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read `[target=]kind[:value][@chance][*times]`, e.g. `503:5@0.1` or `chat=429:7*3`.

        Raises ValueError in words that an operator understands.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a fault: write [target=]kind[:value][@chance][*times], like 500@0.1")
        kind = match["kind"]
        if kind not in CATALOGUE:
            raise ValueError(f"{kind!r} is not a known fault; `lb sim --list-faults` shows them all")
        try:
            chance = float(match["chance"] or 1)
            value = float(match["value"]) if match["value"] else None
        except ValueError:
            raise ValueError(f"{text!r} has a number that is none") from None
        if not 0 <= chance <= 1:
            raise ValueError(f"{text!r}: the chance after @ must be between 0 and 1")
        return cls(Fault(kind, value), match["target"], chance, int(match["times"]) if match["times"] else None)

    def meets(self, names: Iterable[str]) -> bool:
        """Is a request that goes by these names meant?"""
        return self.target is None or self.target in names

    def __str__(self) -> str:
        target = f"{self.target}=" if self.target else ""
        value = f":{self.fault.value:g}" if self.fault.value is not None else ""
        chance = f"@{self.chance:g}" if self.chance < 1 else ""
        return f"{target}{self.fault.kind}{value}{chance}{'' if self.times is None else f'*{self.times}'}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes wrong with one request: at most one fault, any number of oddities. Nothing is counted yet."""

    fault: Rule | None
    odd: list[Rule]
    scripted: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The names of all that happens."""
        return tuple(rule.fault.kind for rule in (self.fault, *self.odd) if rule is not None)


class Faults:
    """Rules that hold, the script that comes before them, and the count of what happened."""

    def __init__(self, rng: random.Random, rules: Iterable[str] = ()) -> None:
        self._rng = rng
        self.rules: list[Rule] = []
        self._script: deque[Rule] = deque()
        self.happened: Counter[str] = Counter()
        """How often each kind really struck."""
        self.add(*rules)

    def add(self, *texts: str) -> None:
        """Let faults happen from now on, each in the form of `Rule.parse`."""
        self.rules.extend([Rule.parse(text) for text in texts])

    def script(self, *texts: str) -> None:
        """Queue an exact sequence: one entry for each request that it fits, `ok` for one that goes well.

        An entry that a request cannot suffer (a stream's fault and no stream) waits for one that can.
        """
        for text in texts:
            rule = Rule.parse(text)
            self._script.extend([Rule(rule.fault, rule.target) for _ in range(rule.times or 1)])

    def clear(self) -> None:
        """Nothing goes wrong any more; the counts stay."""
        self.rules.clear()
        self._script.clear()

    @property
    def waiting(self) -> list[str]:
        """The rest of the script."""
        return [str(rule) for rule in self._script]

    def plan(self, names: Iterable[str], streams: bool, asked: str = "") -> Plan:
        """Choose what happens to a request: what its own `x-sim-fault` field asks for, then the script, the rules."""
        if not (asked or self._script or self.rules):
            return Plan(None, [])
        own = [Rule.parse(text) for text in asked.split(",") if text.strip()]
        fits = [rule for rule in own if self._fits(rule, names, streams)]
        head = self._script[0] if self._script else None
        scripted = head is not None and not own and self._fits(head, names, streams)
        if head is not None and scripted:
            fits.append(head)
        elif not own:
            fits.extend([rule for rule in self.rules if self._fits(rule, names, streams)])
        fault = next((rule for rule in fits if rule.fault.scene not in ODD), None)
        return Plan(fault, [rule for rule in fits if rule.fault.scene in ODD], scripted)

    def _fits(self, rule: Rule, names: Iterable[str], streams: bool) -> bool:
        if rule.times == 0 or not rule.meets(names):
            return False
        if not streams and rule.fault.scene in STREAMING:
            return False
        if rule.fault.scene is (Scene.ANSWER if "socket" in names else Scene.SOCKET):
            return False
        return rule.chance >= 1 or self._rng.random() < rule.chance

    def strike(self, plan: Plan) -> None:
        """The plan is carried out: count it, and use up what is limited."""
        for rule in (plan.fault, *plan.odd):
            if rule is not None:
                self.happened[rule.fault.kind] += 1
                if rule.times:
                    rule.times -= 1
        if plan.scripted:
            self._script.popleft()
        elif any(rule.times == 0 for rule in self.rules):
            self.rules = [rule for rule in self.rules if rule.times != 0]
