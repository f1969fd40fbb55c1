"""What each backend is shown to let us in: its key, or a Microsoft Entra token for its scope.

One credential of azure-identity serves the whole process, and one `_Token` per scope keeps what it gave. (azure-identity
has a provider of bearer tokens, but that neither says when a token ends nor answers without an await, so it can neither
be asked on the hot path nor refreshed behind it.) Nothing of azure-identity is imported while every backend has a key.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame

WAIT_SECONDS = 10.0
"""The identity endpoint gets this long. azure-identity alone would retry for minutes."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""After a failure nobody asks for this long: doubling, so that an endpoint in trouble is left in peace, and short enough
that its recovery is seen."""
EARLY_SECONDS = 300.0
"""A token is renewed this long before its end (azure-core's own margin), or at half its life where that is sooner."""
SAME_AGAIN_SECONDS = 30.0
"""When renewing brought the same token, azure-identity still trusts its cache: it asks every 30 s at most itself."""

log = structlog.get_logger()
_FIELD_VALUE = re.compile(rb"[\x21-\x7e]+")
_ENTRA_CODE = re.compile(r"AADSTS\d+")
_SAID = (
    ("Identity not found", "no such identity; is AZURE_CLIENT_ID that of an identity assigned to this app?"),
    ("Cannot connect", "the identity endpoint cannot be reached"),
    ("Unexpected", "the identity endpoint answered with something that is no token"),
    ("deserialize", "the identity endpoint answered with something that is no token"),
    (
        "unavailable",
        "no identity was found; assign a managed identity, sign in with `az login`, or set the backend's key",
    ),
)
"""What azure-identity's texts begin with or hold, in order of weight, and how we say it."""


class AccessToken(Protocol):
    """As azure-core gives it; some also carry `refresh_on`. Times are seconds since the epoch."""

    @property
    def token(self) -> str: ...
    @property
    def expires_on(self) -> int: ...


class TokenSource(Protocol):
    """The port to azure-identity: its asynchronous credentials fit as they are."""

    async def get_token_info(self, scope: str, /) -> AccessToken: ...
    async def close(self) -> None: ...


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
        self._tokens: dict[str, _Token] = {}
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
        return line[len(_BEARER) : -2].decode()

    async def close(self) -> None:
        """Stop renewing and close the connections to the identity endpoint."""
        for token in self._tokens.values():
            await token.close()
        await self._source.close()

    def _key(self, key: str) -> bytes | None:
        if key not in self._keys:
            self._keys[key] = _line(b"api-key: ", key)
        return self._keys[key]

    def _token(self, scope: str) -> "_Token":
        if scope not in self._tokens:
            self._tokens[scope] = _Token(scope, self._source, self._wall, self._clock, self._wait)
        return self._tokens[scope]


_BEARER = b"Authorization: Bearer "


def _line(name: bytes, value: str) -> bytes | None:
    raw = value.encode(errors="replace")
    return name + raw + b"\r\n" if _FIELD_VALUE.fullmatch(raw) else None


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
            (result,) = await asyncio.gather(made, return_exceptions=True)
            if not isinstance(result, BaseException):
                await result.close()


class _Token:
    """The token of one scope. At most one request for it is under way, whoever waits."""

    def __init__(
        self, scope: str, source: _Source, wall: Callable[[], float], clock: Callable[[], float], wait: float
    ) -> None:
        self._scope = scope
        self._source = source
        self._wall = wall
        self._clock = clock
        self._wait = wait
        self._header = b""
        self._expires = 0.0
        self._renew_at = 0.0
        self._quiet_until = float("-inf")
        self._failures = 0
        self._failure = ""
        self._asking: asyncio.Task[None] | None = None

    def ready(self) -> bytes | None:
        """The header line while the token lasts; near its end a new one is asked for without waiting."""
        now = self._wall()
        if now >= self._expires:
            return None
        if now >= self._renew_at and self._asking is None and self._clock() >= self._quiet_until:
            self._ask()
        return self._header

    async def fetch(self) -> bytes:
        line = self.ready()
        if line is not None:
            return line
        if self._asking is None:
            if self._clock() < self._quiet_until:
                raise BackendFailed(Blame.TOKEN, self._failure)
            self._ask()
        if self._asking is not None:
            await asyncio.wait([self._asking])  # a caller that leaves does not take the others' token along
        line = self.ready()
        if line is None:
            raise BackendFailed(Blame.TOKEN, self._failure)
        return line

    async def close(self) -> None:
        self._failure, self._quiet_until = "the balancer is stopping", float("inf")
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _ask(self) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._request(), name=f"token for {self._scope}")

    async def _request(self) -> None:
        try:
            async with asyncio.timeout(self._wait):
                got = await self._source.get_token_info(self._scope)
            self._take(got)
        except Exception as error:
            self._remember(error)
        finally:
            self._asking = None

    def _take(self, got: AccessToken) -> None:
        now = self._wall()
        header = _line(_BEARER, got.token)
        if header is None:
            raise _UnusableError("the token has characters that no header may carry")
        if got.expires_on <= now:
            raise _UnusableError("the token had ended when it came: is this machine's clock right?")
        self._failures = 0
        early = got.expires_on - min(EARLY_SECONDS, (got.expires_on - now) / 2)
        soonest = now + SAME_AGAIN_SECONDS if header == self._header else now
        self._renew_at = max(soonest, float(getattr(got, "refresh_on", None) or early))
        self._header, self._expires = header, float(got.expires_on)

    def _remember(self, error: Exception) -> None:
        self._failure = f"no Microsoft Entra token for {self._scope}: {_plainly(error, self._wait)}"
        self._failures += 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._failures - 1))
        self._quiet_until = self._clock() + pause
        left = max(0, round(self._expires - self._wall()))
        log.warning(self._failure, next_try_in=pause, old_token_valid_for=left)


class _UnusableError(Exception):
    """A token came, but it cannot be used; says why."""


def _plainly(error: Exception, wait: float) -> str:
    """What went wrong, in the operator's words. The error's own text may quote what came from outside, even a token, so
    nothing of it is repeated but Entra's error code."""
    if isinstance(error, _UnusableError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"none came within {wait:g} s"
    text = str(error)
    code = _ENTRA_CODE.search(text)
    if code is not None:
        return f"Entra refused with {code[0]}"
    return next((ours for theirs, ours in _SAID if theirs in text), f"azure-identity raised {type(error).__name__}")
