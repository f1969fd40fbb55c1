"""What an operator can switch, and how a request says so."""

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from lb.admin.door import Problem

TAKE_OUT, PUT_BACK, END_COOLDOWN = "take-out", "put-back", "end-cooldown"


class Controls(Protocol):
    """The balancer's side: of one process, or of all workers. False where there is no such backend or nothing to do.

    Each tells in the log what was done, and `by` whom.
    """

    async def switch(self, backend: str, by: str, *, out: bool) -> bool:
        """Take a backend out or put it back."""

    async def recall(self, backend: str, deployment: str | None, by: str) -> bool:
        """End what keeps a backend away from a deployment, as the backend calls it."""


@dataclass(frozen=True, slots=True)
class Action:
    """One of the three."""

    kind: str
    backend: str
    deployment: str | None

    @classmethod
    def read(cls, body: bytes) -> "Action":
        """Raises `Problem` for what is no action."""
        try:
            said: Any = orjson.loads(body)
        except ValueError:
            said = None
        if not isinstance(said, dict) or said.get("do") not in (TAKE_OUT, PUT_BACK, END_COOLDOWN):
            raise Problem(400, f"Say what to `do` in JSON: {TAKE_OUT}, {PUT_BACK} or {END_COOLDOWN}.")
        backend, deployment = said.get("backend"), said.get("deployment")
        if not isinstance(backend, str) or not isinstance(deployment, str | None):
            raise Problem(400, "Name the `backend`, and for a cooldown its `deployment` as `/status` shows it.")
        return cls(said["do"], backend, deployment)

    async def perform(self, controls: Controls, by: str) -> None:
        """Raises `Problem` where there is nothing to do."""
        if self.kind == END_COOLDOWN:
            done = await controls.recall(self.backend, self.deployment, by)
        else:
            done = await controls.switch(self.backend, by, out=self.kind == TAKE_OUT)
        if not done:
            raise Problem(409, "There is no such backend, or it is so already.")
