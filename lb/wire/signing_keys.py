"""The keys that an issuer of tokens publishes (JSON Web Key Set, RFC 7517): fetched when one is missing, kept while the
issuer cannot be reached, and dropped when the issuer no longer publishes them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

FETCH_SECONDS = 5.0
LARGEST = 1024 * 1024
"""Bytes of a key set; Entra's has some 20 KiB."""
ASK_AGAIN_SECONDS = 30.0
"""Anybody can make up key ids, so an unknown one has the keys fetched again no sooner than this."""
RETRY_SECONDS = 5.0
"""After a fetch that failed."""
STALE_SECONDS = 3600.0
"""Keys of this age are fetched again behind the requests. Microsoft's advice is once a day at least."""
SHORTEST_BITS = 2048
"""RFC 7518 section 3.3."""

Fetch = Callable[[str], Awaitable[bytes]]
log = structlog.get_logger()


class FetchError(Exception):
    """No usable answer came; says why, in the operator's words."""


async def fetch(url: str) -> bytes:
    """The body at `url`. Raises `FetchError`. Takes a proxy from the environment as everything else here does."""
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise FetchError(f"it answered {response.status}")
            body = bytearray()
            async for piece in response.content.iter_chunked(65536):
                body += piece
                if len(body) > LARGEST:
                    raise FetchError(f"its answer is larger than {LARGEST} bytes")
            return bytes(body)
    except TimeoutError:
        raise FetchError(f"it did not answer within {FETCH_SECONDS:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise FetchError(f"it cannot be reached ({type(error).__name__})") from None


class SigningKeys:
    """The RSA keys at `url`, which names a key set or an OpenID discovery document. `clock` is monotonic."""

    def __init__(self, url: str, clock: Callable[[], float], fetch: Fetch = fetch) -> None:
        self.url = url
        self._clock = clock
        self._fetch = fetch
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at = float("-inf")
        self._not_before = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self.trouble: str | None = "they were not fetched yet"
        """Why there may be more keys than are known here, or None."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a key is gone or another, so that what was verified with it is forgotten."""

    def get(self, kid: str) -> RSAPublicKey | None:
        """The key of that id, if it is known. Sees to it that old keys are fetched again behind the requests."""
        if self._clock() - self._fetched_at > STALE_SECONDS and self.may_ask:
            self._ask()
        return self._keys.get(kid)

    @property
    def may_ask(self) -> bool:
        """Is there sense in waiting for `refresh`?"""
        return self._fetching is not None or self._clock() >= self._not_before

    @property
    def next_try(self) -> float:
        """Seconds until the issuer is asked again."""
        return max(0.0, self._not_before - self._clock())

    async def refresh(self) -> None:
        """Fetch the keys, once for all who wait. Raises nothing: see `trouble`."""
        await asyncio.wait([self._fetching or self._ask()])

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    def _ask(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._renew(), name="signing keys")
        return self._fetching

    async def _renew(self) -> None:
        self._not_before = self._clock() + RETRY_SECONDS
        try:
            keys = await self._published()
        except FetchError as error:
            self.trouble = str(error)
            self._not_before = self._clock() + RETRY_SECONDS
            log.warning(f"No signing keys from {self.url}: {error}", next_try_in=RETRY_SECONDS, kept=len(self._keys))
        else:
            self._take(keys)
        finally:
            self._fetching = None

    def _take(self, keys: dict[str, RSAPublicKey]) -> None:
        before, self._keys = self._keys, keys
        self.trouble = None
        self._fetched_at = self._clock()
        self._not_before = self._fetched_at + ASK_AGAIN_SECONDS
        if any(_numbers(keys.get(kid)) != _numbers(key) for kid, key in before.items()):
            self.changed()

    async def _published(self) -> dict[str, RSAPublicKey]:
        found = _document(await self._fetch(self.url))
        if "keys" not in found and isinstance(found.get("jwks_uri"), str):
            found = _document(await self._fetch(found["jwks_uri"]))
        keys = found.get("keys")
        if not isinstance(keys, list):
            raise FetchError("its answer is no key set")
        usable = dict(filter(None, map(_usable, keys)))
        if not usable:
            raise FetchError(f"none of its {len(keys)} keys can be used for RS256")
        return usable


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise FetchError("its answer is no JSON") from None
    return found if isinstance(found, dict) else {}


def _usable(key: object) -> tuple[str, RSAPublicKey] | None:
    """Id and key of a public RSA key for signatures; anything else an issuer may publish is passed over."""
    if not isinstance(key, dict) or key.get("kty") != "RSA" or key.get("use", "sig") != "sig":
        return None
    kid = key.get("kid")
    try:
        public = PyJWK({"kty": "RSA", "n": key.get("n"), "e": key.get("e")}, "RS256").key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(kid, str) and isinstance(public, RSAPublicKey) and public.key_size >= SHORTEST_BITS:
        return kid, public
    return None


def _numbers(key: RSAPublicKey | None) -> object:
    return None if key is None else key.public_numbers()
