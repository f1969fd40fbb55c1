"""The Microsoft Entra token of one scope: fetched once for all who wait, renewed before its end behind the requests."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from lb.exchange import BackendFailed, Blame

WAIT_SECONDS = 10.0
"""The identity endpoint gets this long. azure-identity alone would retry for minutes."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""After a failure nobody asks for this long: doubling, so that an endpoint in trouble is left in peace, and short
enough that its recovery is seen."""
EARLY_SECONDS = 300.0
"""A token is renewed this long before its end (azure-core's own margin), or at half its life where that is sooner."""
SAME_AGAIN_SECONDS = 30.0
"""When renewing brought the same token, azure-identity still trusts its cache: it asks every 30 s at most itself."""
BEARER = b"Authorization: Bearer "

log = structlog.get_logger()
_FIELD_VALUE = re.compile(rb"[\x21-\x7e]+")
_ENTRA_CODE = re.compile(r"AADSTS\d+")
_SAID = (
    ("Identity not found", "no such identity; is AZURE_CLIENT_ID that of an identity assigned to this app?"),
    ("Cannot connect", "the identity endpoint cannot be reached"),
    ("Unexpected", "the identity endpoint answered with something that is no token"),
    ("deserialize", "the identity endpoint answered with something that is no token"),
    ("unavailable", "no identity was found; assign a managed identity, sign in with `az login`, or set backend keys"),
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


Ask = Callable[[str], Awaitable[AccessToken]]


def header_line(name: bytes, value: str) -> bytes | None:
    """`name` and `value` as one header line; None where the value could end the line or is empty."""
    raw = value.encode(errors="replace")
    return name + raw + b"\r\n" if _FIELD_VALUE.fullmatch(raw) else None


class Token:
    """The token of one scope. At most one request for it is under way, whoever waits."""

    def __init__(
        self, scope: str, ask: Ask, wall: Callable[[], float], clock: Callable[[], float], wait: float
    ) -> None:
        self._scope = scope
        self._ask_for = ask
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
                got = await self._ask_for(self._scope)
            self._take(got)
        except Exception as error:
            self._remember(error)
        finally:
            self._asking = None

    def _take(self, got: AccessToken) -> None:
        now = self._wall()
        header = header_line(BEARER, got.token)
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
        missing = f"Microsoft Entra token for {self._scope}: {_plainly(error, self._wait)}"
        self._failure = f"no {missing}"
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._quiet_until = self._clock() + pause
        left = max(0, round(self._expires - self._wall()))
        log.warning(f"No {missing}", next_try_in=pause, old_token_valid_for=left)


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
