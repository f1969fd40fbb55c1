"""The health table as an operator sees it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lb.balancing.backend import Backend
from lb.balancing.health import Health, Site


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table as an operator sees it. Times are seconds from the moment of the snapshot."""

    backend: Backend
    deployment: str | None
    state: str
    seconds: float
    reason: str
    strikes: int
    in_flight: int
    served: int
    throttled: int
    faulted: int
    headroom: float | None
    out: bool = False
    """An operator has taken the backend out, whatever is believed of it."""


def rows(sites: Iterable[Site], cells: Collection[Health], now: float) -> list[Row]:
    """One row for each (backend, deployment) seen so far, and one for each backend that nobody has asked yet."""
    asked = {id(cell.site) for cell in cells}
    shown = [*cells, *(Health(site, None) for site in sites if id(site) not in asked)]
    shown.sort(key=lambda cell: (cell.backend.priority, cell.backend.name, cell.deployment or ""))
    return [_row(cell, now) for cell in shown]


def _row(cell: Health, now: float) -> Row:
    state, seconds = _state(cell, now)
    return Row(
        backend=cell.backend,
        deployment=cell.deployment,
        state=state,
        seconds=seconds,
        reason=cell.reason if state != "available" else "",
        strikes=cell.breaker.strikes + cell.site.breaker.strikes,
        in_flight=cell.in_flight,
        served=cell.served,
        throttled=cell.throttled,
        faulted=cell.faulted,
        headroom=cell.headroom,
        out=cell.site.out,
    )


def _state(cell: Health, now: float) -> tuple[str, float]:
    if cell.misconfigured:
        return "misconfigured", max(0.0, (cell.ejected_until() or now) - now)
    if cell.is_cooling(now):
        return "cooling", cell.cooling_until - now
    ejected = cell.ejected_until()
    if ejected is not None:
        return ("ejected", ejected - now) if now < ejected else ("probation", 0.0)
    return ("returning", 0.0) if cell.returning else ("available", 0.0)
