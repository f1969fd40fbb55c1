"""Who is calling: a client key, or a token of Microsoft Entra. Nothing configured means that nobody is asked."""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b, sha256
from hmac import compare_digest
from os import urandom

from lb.refusal import Head, Refusal
from lb.wire.entra import EntraRules, EntraTokens, unauthorized
from lb.wire.signing_keys import Fetch, SigningKeys, fetch

Identity = str | None | Refusal


class ClientKeys:
    """Knows keys by their SHA-256 and tells nothing by how long it takes.

    They are looked up by a hash under a secret of this process. A stranger cannot know that hash, so what a lookup's
    time may tell of it is of no use, and a thousand keys cost what one costs.
    """

    def __init__(self, names: Mapping[bytes, str]) -> None:
        self._secret = urandom(32)
        self._names = {self._hidden(digest): (digest, name) for digest, name in names.items()}

    def __bool__(self) -> bool:
        return bool(self._names)

    def name(self, digest: bytes) -> str | None:
        """Whose key has this SHA-256, if anybody's."""
        expected, name = self._names.get(self._hidden(digest), (b"", None))
        return name if compare_digest(expected, digest) else None

    def _hidden(self, digest: bytes) -> bytes:
        return blake2b(digest, key=self._secret, digest_size=16).digest()


class Callers:
    """Checks callers on the request's head. `wall` is seconds since the epoch, `clock` is monotonic."""

    def __init__(
        self,
        keys: Mapping[bytes, str],
        entra: EntraRules | None,
        wall: Callable[[], float],
        clock: Callable[[], float],
        fetch: Fetch = fetch,
    ) -> None:
        self._wall = wall
        self._clock = clock
        self._fetch = fetch
        self._rules: EntraRules | None = None
        self._signing: SigningKeys | None = None
        self._tokens: EntraTokens | None = None
        self.replace(keys, entra)

    def replace(self, keys: Mapping[bytes, str], entra: EntraRules | None) -> None:
        """Take over a new configuration, for the next request on."""
        self._keys = ClientKeys(keys)
        self._valid = object()
        if entra != self._rules:
            self._rules = entra
            self._tokens = self._checks(entra) if entra is not None else None
        self._unknown = unauthorized(self._wanted())
        self._open = not self._keys and self._tokens is None

    async def close(self) -> None:
        """Give up fetches that are under way."""
        if self._signing is not None:
            await self._signing.close()

    def identify(self, head: Head) -> Identity | Awaitable[Identity]:
        """The caller's name, None where nobody is asked, or a refusal; later, when keys of Entra must be fetched.

        A client may send a made-up key beside a good token, as some SDKs force it to: one good credential is enough.
        """
        if self._open:
            return None
        known = head.known
        if known is not None and known[0] is self._valid:
            return known[1]
        name = self._by_key(head) if self._keys else None
        if name is not None:
            # A connection's requests mostly have the same head. Not the keys themselves stand in it: a connection that
            # rests would keep those of before a reload.
            head.known = self._valid, name
            return name
        bearer = head.bearer or head.query_key or head.protocol_key  # a browser's WebSocket sets no header fields
        if self._tokens is not None and bearer is not None and bearer.count(b".") == 2:
            return self._tokens.check(bearer, sha256(bearer).digest())
        return self._unknown

    def _by_key(self, head: Head) -> str | None:
        for presented in (head.api_key, head.query_key, head.protocol_key, head.bearer):
            if presented is not None:
                name = self._keys.name(sha256(presented).digest())
                if name is not None:
                    return name
        return None

    def _checks(self, rules: EntraRules) -> EntraTokens:
        """A changed allow-list must not depend on the issuer's answering just now, so its keys are kept."""
        if self._signing is None or self._signing.url != rules.keys_url:
            self._signing = SigningKeys(rules.keys_url, self._clock, self._fetch)
        return EntraTokens(rules, self._signing, self._wall)

    def _wanted(self) -> str:
        ways = ["a client key as `api-key: <key>` or `Authorization: Bearer <key>`"] if self._keys else []
        if self._tokens is not None:
            ways.append(self._tokens.wanted)
        return f"Access denied: no valid credential for this balancer. Present {', or '.join(ways)}."
