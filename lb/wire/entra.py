"""Callers who show an access token of Microsoft Entra ID.

A token is good when the tenant's published keys signed it with RS256 and nothing else, it was issued by the tenant for
one of our audiences, and it is in its time. It opens the door only to apps and identities on the allow-list: the usual
audience is that of all Azure AI services, so anybody in the tenant can get such a token.
(Microsoft identity platform, "Access tokens": validation, and the claims of versions 1.0 and 2.0.)
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from math import ceil
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from lb.refusal import Refusal
from lb.wire.signing_keys import SigningKeys

LEEWAY = 60.0
"""Seconds that clocks may differ."""
LARGEST = 16 * 1024
"""Bytes of a token. Entra's have one to four thousand."""
KEEP = 4096
"""Verified tokens remembered."""
KEEP_SECONDS = 86400.0

Verdict = str | Refusal
_CLAIMS = ("aud", "iss", "exp", "nbf", "iat", "sub", "jti")
_OURS_TO_CHECK = {f"verify_{claim}": False for claim in _CLAIMS}
"""PyJWT checks the signature; the claims are checked here, against our clock and both spellings of an audience."""


class EntraRules(Protocol):
    """Which tokens are good; the configuration's own value fits."""

    @property
    def tenant(self) -> str: ...
    @property
    def audiences(self) -> tuple[str, ...]: ...
    @property
    def issuers(self) -> tuple[str, ...]: ...
    @property
    def keys_url(self) -> str: ...
    @property
    def allowed(self) -> Mapping[str, str]:
        """App id or object id, in lower case, to the caller's name."""


class EntraTokens:
    """Checks tokens against `rules` and the `keys` of their issuer. `wall` is seconds since the epoch."""

    def __init__(self, rules: EntraRules, keys: SigningKeys, wall: Callable[[], float]) -> None:
        self._rules = rules
        self._wall = wall
        self._audiences = frozenset(audience.rstrip("/") for audience in rules.audiences)
        self._issuers = frozenset(rules.issuers)
        self._tenant = rules.tenant.lower()
        self._known: OrderedDict[bytes, tuple[Verdict, float]] = OrderedDict()
        self._keys = keys
        keys.changed = self._known.clear

    @property
    def wanted(self) -> str:
        """What to present, for the message to a caller without it."""
        scope = self._rules.audiences[0].rstrip("/") + "/.default"
        return f"a Microsoft Entra token for {scope} as `Authorization: Bearer <token>`"

    def check(self, token: bytes, digest: bytes) -> Verdict | Awaitable[Verdict]:
        """The caller's name or a refusal; an awaitable of them when the tenant's keys must be fetched first.

        `digest` is the token's SHA-256, by which a verified one is known again until it expires.
        """
        known = self._known.get(digest)
        if known is not None and self._wall() < known[1]:
            self._known.move_to_end(digest)
            return known[0]
        if len(token) > LARGEST:
            return self._refused(f"is larger than {LARGEST} bytes")
        kid = self._kid(token)
        if isinstance(kid, Refusal):
            return kid
        key = self._keys.get(kid)
        if key is not None:
            return self._verify(token, digest, key)
        if self._keys.may_ask:
            return self._check_with_new_keys(token, digest, kid)
        return self._without_key()

    def _kid(self, token: bytes) -> str | Refusal:
        """Which key to verify with. What is no token of ours by its own words needs no keys to be fetched for it."""
        try:
            seen = jwt.decode_complete(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            return self._refused("is not well formed")
        problem = self._problem(seen["payload"])
        if problem is not None:
            return self._refused(problem)
        kid = seen["header"].get("kid")
        if seen["header"].get("alg") != "RS256" or not isinstance(kid, str):
            return self._refused("is not signed with RS256 by a named key")
        return kid

    async def _check_with_new_keys(self, token: bytes, digest: bytes, kid: str) -> Verdict:
        await self._keys.refresh()
        key = self._keys.get(kid)
        return self._verify(token, digest, key) if key is not None else self._without_key()

    def _without_key(self) -> Refusal:
        if self._keys.trouble is None:
            return self._refused("is signed with a key that its tenant does not publish")
        wait = str(max(1, ceil(self._keys.next_try))).encode()
        message = "Your token cannot be checked now, since the keys of its tenant cannot be fetched. Try again soon."
        return Refusal(503, "503", message, ((b"Retry-After", wait),))

    def _verify(self, token: bytes, digest: bytes, key: RSAPublicKey) -> Verdict:
        try:
            claims = jwt.decode(token, key, algorithms=["RS256"], options=_OURS_TO_CHECK)  # type: ignore[arg-type]
        except (jwt.PyJWTError, ValueError, RecursionError):
            return self._refused("has a wrong signature")
        problem = self._problem(claims)
        if problem is not None:
            return self._refused(problem)
        verdict = self._allowed(claims)
        if len(self._known) >= KEEP:
            self._known.popitem(last=False)
        self._known[digest] = verdict, min(claims["exp"] + LEEWAY, self._wall() + KEEP_SECONDS)
        return verdict

    def _problem(self, claims: Mapping[str, Any]) -> str | None:
        """What is wrong with a token, as the rest of a sentence that begins with it."""
        if str(claims.get("iss")) not in self._issuers or str(claims.get("tid")).lower() != self._tenant:
            return "was issued by somebody else than the tenant that is served here"
        if not self._is_for_us(claims.get("aud")):
            return "was issued for something else (its `aud`)"
        now = self._wall()
        if not _number(claims.get("exp")) or not now < claims["exp"] + LEEWAY:
            return "has expired"
        if "nbf" in claims and not (_number(claims["nbf"]) and now >= claims["nbf"] - LEEWAY):
            return "is not valid yet"
        return None

    def _is_for_us(self, audience: object) -> bool:
        values = audience if isinstance(audience, list) else [audience]
        return any(isinstance(value, str) and value.rstrip("/") in self._audiences for value in values)

    def _allowed(self, claims: Mapping[str, Any]) -> Verdict:
        """An object id names one person or service, an app id all who use that app: so it is asked for last."""
        for claim in ("oid", "appid", "azp"):
            name = self._rules.allowed.get(str(claims.get(claim, "")).lower())
            if name is not None:
                return name
        message = (
            "Your token is good, but neither its app nor its identity may call here. "
            "The operator must add its app id or object id to the allow-list."
        )
        return Refusal(403, "403", message)

    def _refused(self, problem: str) -> Refusal:
        return unauthorized(f"The token {problem}. Present {self.wanted}.")


def unauthorized(message: str) -> Refusal:
    """401 in Azure's shape; the field is due by RFC 9110 section 15.5.2."""
    return Refusal(401, "401", message, ((b"WWW-Authenticate", b"Bearer"),))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
