"""A request for an object, and what may come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lb.sim.answer import Answer, Desk
from lb.sim.decision import Download
from lb.sim.objects.form import Form
from lb.sim.objects.resource import Resource


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, read."""

    names: tuple[str, ...]
    """The ids in its path, in order."""
    query: Mapping[str, str]
    body: dict[str, Any]
    form: Form
    desk: Desk
    weight: int
    """Bytes of its body: what an object made of it is taken to weigh."""

    @property
    def name(self) -> str:
        """The first id of the path."""
        return self.names[0]


Found = dict[str, Any] | Download | Answer
Way = Callable[[Resource, Ask], Found]
"""Serves a request. Raises Refused."""
Ways = dict[str, Way]
"""By method and path, `{}` standing for an id: `GET /files/{}/content`."""


def deleted(name: str, kind: str) -> dict[str, Any]:
    """What a DELETE answers."""
    return {"id": name, "object": f"{kind}.deleted", "deleted": True}


def changed(body: dict[str, Any], said: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Take the keys that may be changed over from a request."""
    body.update({key: said[key] for key in keys if key in said})
    return body
