"""What each backend is shown to let us in: its key, or a Microsoft Entra token for its scope.

One credential of azure-identity serves the whole process, and one `Token` per scope keeps what it gave.
(azure-identity has a provider of bearer tokens, but that neither says when a token ends nor answers without an await,
so it can neither be asked on the hot path nor refreshed behind it.) Nothing of azure-identity is imported while every
backend has a key.
"""

import asyncio
from collections.abc import Awaitable, Callable

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.tokens import BEARER, WAIT_SECONDS, AccessToken, Token, TokenSource, header_line

Connect = Callable[[], Awaitable[TokenSource]]


def default_azure(client_id: str | None) -> Connect:
    """Workload identity, managed identity (that of `client_id` where several are assigned), or on a developer's machine
    whoever is signed in: what `DefaultAzureCredential` tries, in its order."""

    def make() -> TokenSource:
        from azure.identity.aio import DefaultAzureCredential

        return DefaultAzureCredential(managed_identity_client_id=client_id)

    async def connect() -> TokenSource:
        return await asyncio.to_thread(make)  # the import alone takes some 100 ms

    return connect


class Credentials:
    """Header lines for backends.

    `wall` is seconds since the epoch, for a token's end; `clock` is monotonic, for pauses.
    """

    def __init__(
        self, wall: Callable[[], float], clock: Callable[[], float], connect: Connect, wait: float = WAIT_SECONDS
    ) -> None:
        self._wall = wall
        self._clock = clock
        self._source = _Source(connect)
        self._wait = wait
        self._tokens: dict[str, Token] = {}
        self._keys: dict[str, bytes | None] = {}

    def ready(self, backend: Backend) -> bytes | None:
        """The header line, `\\r\\n` included, where it is at hand; else `fetch` it."""
        if backend.api_key is not None:
            return self._key(backend.api_key)
        token = self._tokens.get(backend.scope)
        return token.ready() if token is not None else None

    async def fetch(self, backend: Backend) -> bytes:
        """The header line, after waiting for a token where need be. Raises `BackendFailed`."""
        line = self.ready(backend)
        if line is not None:
            return line
        if backend.api_key is not None:
            raise BackendFailed(Blame.TOKEN, f"the key of {backend.name} has characters that no header may carry")
        return await self._token(backend.scope).fetch()

    async def token(self, scope: str) -> str:
        """The bare token, for `lb check`. Raises `BackendFailed`."""
        line = await self._token(scope).fetch()
        return line[len(BEARER) : -2].decode()

    async def close(self) -> None:
        """Stop renewing and close the connections to the identity endpoint."""
        for token in self._tokens.values():
            await token.close()
        await self._source.close()

    def _key(self, key: str) -> bytes | None:
        if key not in self._keys:
            self._keys[key] = header_line(b"api-key: ", key)
        return self._keys[key]

    def _token(self, scope: str) -> Token:
        if scope not in self._tokens:
            self._tokens[scope] = Token(scope, self._source.get_token_info, self._wall, self._clock, self._wait)
        return self._tokens[scope]


class _Source:
    """The one credential, made when the first token is wanted."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._made: asyncio.Task[TokenSource] | None = None

    async def get_token_info(self, scope: str) -> AccessToken:
        if self._made is None or (self._made.done() and self._made.exception() is not None):
            self._made = asyncio.ensure_future(self._connect_once())
        return await (await asyncio.shield(self._made)).get_token_info(scope)

    async def _connect_once(self) -> TokenSource:
        return await self._connect()

    async def close(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            await asyncio.wait([made])
            if not made.cancelled() and made.exception() is None:
                await made.result().close()
