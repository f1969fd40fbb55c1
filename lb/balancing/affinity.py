"""Where does a request have to go that names objects, and may its tenant know them?"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lb.balancing.asker import Asker
from lb.balancing.backend import Backend
from lb.balancing.creations import Creation
from lb.balancing.pins import NOBODY, Pin, Pins, tag
from lb.balancing.references import Kind, Reference

Names = frozenset[str]
"""Backends at one address: an endpoint may be there twice, for different deployments."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a request's objects ask for. Without an owner nobody here knows who holds them, and all may be asked."""

    owner: Names | None = None
    """Who must be asked first, and alone unless it says that it does not have them."""
    near: Names | None = None
    """Who is better asked, if it is available."""
    names: tuple[bytes, ...] = ()
    """What is needed: who answers well holds all of it."""
    own: bool = False
    """Its path names objects that are known to be the tenant's own."""
    path: bool = False
    """Its path names an object."""
    named: frozenset[bytes] = frozenset()
    """All that it names, also what is not needed: none of it is made by it."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """It names another tenant's object."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Apart:
    """Its objects live on different backends."""

    places: tuple[tuple[Reference, str], ...]


class Affinity:
    """The table of pins, in terms of backends and tenants by name."""

    def __init__(self, pins: Pins, backends: Sequence[Backend]) -> None:
        self.pins = pins
        self._tenants: dict[str, bytes] = {}
        self.replace(backends)

    def replace(self, backends: Sequence[Backend]) -> None:
        """Take over a new configuration. An address is what counts: where it changed, the pins are void."""
        self._tags = {backend.name: tag(backend.url) for backend in backends}
        self._places: dict[bytes, Names] = {}
        for name, place in self._tags.items():
            self._places[place] = self._places.get(place, frozenset()) | {name}

    def bind(self, references: Iterable[Reference], tenant: str | None) -> Binding | Foreign | Apart | None:
        """Look up what is named. None: nothing."""
        whose = self._whose(tenant)
        needed: dict[Names, Reference] = {}
        near: Names | None = None
        names: list[bytes] = []
        items: list[bytes] = []
        path = own = False
        for reference in references:
            pin = self.pins.find(reference.name)
            if pin is not None and tenant is not None and pin.tenant not in (NOBODY, whose):
                return Foreign(reference)
            owner = None if pin is None else self._places.get(pin.owner)
            if reference.kind is Kind.ITEM:
                near = owner or near
                items.append(reference.name)
                continue
            names.append(reference.name)
            if owner is not None:
                needed.setdefault(owner, reference)
            if reference.kind is Kind.PATH:
                path, own = True, (own or not path) and pin is not None and pin.tenant == whose
        if len(needed) > 1:
            return Apart(tuple((reference, min(owner)) for owner, reference in needed.items()))
        if not names and near is None:
            return None
        return Binding(next(iter(needed), None), near, tuple(names), own, path, frozenset(names + items))

    def learn(self, creations: Iterable[Creation], backend: str, tenant: str | None) -> None:
        """These live there. `tenant` made those that were made; None where that is not known."""
        owner, whose = self._tags.get(backend), self._whose(tenant)
        if owner is not None:
            for name, made in creations:
                self.pins.learn(name, owner, whose if made else NOBODY)

    def shows(self, name: bytes, tenant: str | None, *, unowned: bool) -> bool:
        """May a list that the tenant asks for name this object? `unowned`: also if it is not known whose it is."""
        if tenant is None:
            return True
        pin = self.pins.find(name)
        if pin is None or pin.tenant == NOBODY:
            return unowned
        return pin.tenant == self._whose(tenant)

    def knows(self, name: bytes) -> Pin | None:
        """The pin of an object."""
        return self.pins.find(name)

    def is_owned(self, name: bytes) -> bool:
        """Is it known whose it is?"""
        pin = self.pins.find(name)
        return pin is not None and pin.tenant != NOBODY

    def _whose(self, tenant: str | None) -> bytes:
        if tenant is None:
            return NOBODY
        found = self._tenants.get(tenant)
        if found is None:
            if len(self._tenants) >= 1000:
                self._tenants.clear()
            found = self._tenants[tenant] = tag("tenant", tenant)
        return found


def bound_for(asker: Asker, binding: Binding, deployment: str | None, backends: Sequence[Backend]) -> Asker:
    """The asker of a request with these objects: to the owner alone, or rather to who is near. Where that is none of
    its own, or does not serve the deployment, nobody is known to have them."""
    target = binding.owner or binding.near or frozenset()
    if not any(backend.name in target and backend.serves(deployment) for backend in backends):
        return asker
    return only(asker, target, backends) if binding.owner else rather(asker, target, backends)


def only(asker: Asker, target: Names, backends: Sequence[Backend]) -> Asker:
    """As if these were all the backends that the asker may be sent to; as it is, if it may not."""
    if target <= asker.excluded:
        return asker
    others = frozenset([backend.name for backend in backends if backend.name not in target])
    return asker._replace(strangers=others | asker.excluded, pinned=True)


def rather(asker: Asker, target: Names, backends: Sequence[Backend]) -> Asker:
    """These before others, where the asker has a choice at all."""
    if asker.pinned:
        return asker
    return asker._replace(strangers=frozenset([backend.name for backend in backends if backend.name not in target]))
