"""The one task of a connection: it serves the connection's requests, one after the other."""

import asyncio
from collections.abc import Callable

from lb.exchange import BackendFailed, ClientGone, Request
from lb.wire.hub import Hub
from lb.wire.relay import WaitingClient

Turn = tuple[Request, WaitingClient]


class Turns:
    """Give it a request when the one before has settled. A long-lived task costs a third of a new one per request."""

    __slots__ = ("_hub", "_next", "_settle", "_stopped", "_task", "_woken")

    def __init__(self, hub: Hub, settle: Callable[[WaitingClient], None]) -> None:
        """`settle` is called at the end of each request that was not cancelled."""
        self._hub = hub
        self._settle = settle
        self._next: Turn | None = None
        self._woken: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def give(self, request: Request, client: WaitingClient) -> None:
        """The next request."""
        self._next = request, client
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def stop(self) -> None:
        """Give up the request that is being served, and take no other."""
        self._next = None
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopped:
            if self._next is None:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken
                self._woken = None
            else:
                # Pipelined requests may be answered without a single wait; other connections want to run, too.
                await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, no time
            if self._next is not None:
                await self._serve(*self._next)

    async def _serve(self, request: Request, client: WaitingClient) -> None:
        self._next = None
        try:
            await self._hub.gateway.handle(request, client)
        except asyncio.CancelledError:
            if not self._stopped:  # by somebody else: nobody would serve this connection any more
                client.abort()
            raise
        except (ClientGone, BackendFailed):
            pass  # told by whoever decided it; what is left undone is seen by `settle`
        except Exception as bug:
            self._hub.report("A request failed through a bug", request_id=request.id, peer=request.peer, error=bug)
        else:
            if not client.begun and not client.gone:
                self._hub.report("A request was given no answer", request_id=request.id, peer=request.peer)
        self._settle(client)
