"""A client of Redis: by URL, or with tokens of Microsoft Entra as Azure Managed Redis takes them."""

import base64
import json
from collections.abc import Awaitable, Callable

import redis.asyncio as redis_py
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider

from lb.replicas.link import TIMEOUT_SECONDS

SCOPE = "https://redis.azure.com/.default"
GetToken = Callable[[str], Awaitable[str]]
"""An access token for a scope."""


class EntraCredentials(CredentialProvider):
    """The user is the token's object id, the password the token. (Azure Managed Redis, "Use Microsoft Entra".)

    Redis ends a connection whose token has expired; the next one is made with a new token.
    """

    def __init__(self, token: GetToken) -> None:
        self._token = token

    def get_credentials(self) -> tuple[str, str]:
        """Never asked by the asyncio client."""
        raise TypeError("tokens come asynchronously")

    async def get_credentials_async(self) -> tuple[str, str]:
        """User and password."""
        token = await self._token(SCOPE)
        return object_id(token), token


def object_id(token: str) -> str:
    """The `oid` claim. The signature is not our business: it is our own token. Raises `ConnectionError` without one."""
    try:
        claims = token.split(".")[1]
        found: object = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["oid"]
    except (ValueError, LookupError, TypeError):
        raise ConnectionError("the token for Redis names no object id") from None
    return str(found)


def client(url: str, token: GetToken | None) -> "redis_py.Redis":
    """Connects when it is used first."""
    return redis_py.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        credential_provider=None if token is None else EntraCredentials(token),
    )
