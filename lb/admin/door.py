"""Who may look and who may act at the operator listener.

With operators' keys everything needs one. Without keys a listener on loopback is open to this machine, and one beyond
loopback shows `/metrics` and `/status` only. docs/security.md says why.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from lb.admin.sessions import Sessions

LOOPBACK = "loopback"
"""Who acts where nobody is asked for a key: this machine."""
COOKIE = "lb_session"
PATH = "/page"
"""Where the cookie is sent. A browser does so on every port of the host; `lb.wire.headers` stops it on the way."""


class Problem(Exception):
    """Why somebody may not, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Door:
    """`keys` are SHA-256 digests with their operators' names; `loopback`: does the listener hear this machine only?"""

    def __init__(self, keys: Mapping[bytes, str], clock: Callable[[], float], *, loopback: bool) -> None:
        self._keys = dict(keys)
        self._loopback = loopback
        self._sessions = Sessions(clock)

    def replace(self, keys: Mapping[bytes, str]) -> None:
        """From now on these keys count; sessions of others end."""
        self._keys = dict(keys)

    @property
    def asks(self) -> bool:
        """Is a key asked for?"""
        return bool(self._keys)

    def may_read(self, request: web.Request) -> None:
        """Raises `Problem` where the caller may not see `/status` and `/metrics`."""
        if self._keys or self._loopback:
            self.operator(request)

    def operator(self, request: web.Request) -> str:
        """Who it is that looks at the page, or acts. Raises `Problem`."""
        if self._keys:
            name = self._by_key(request) or self._by_session(request)
            if name is None:
                raise Problem(401, "An operator's key is needed: send it as `Authorization: Bearer <key>`.")
            return name
        if not self._loopback:
            raise Problem(403, "The page is closed: set LB_ADMIN_KEYS, or let the operator listener be on 127.0.0.1.")
        if not _names_loopback(request.host):
            raise Problem(
                403, "This host name is not of this machine. Ask for 127.0.0.1 or localhost, or set LB_ADMIN_KEYS."
            )
        return LOOPBACK

    def sign_in(self, key: str) -> tuple[str, str] | None:
        """A new session's token and the operator's name; None where there is no such key."""
        digest = sha256(key.encode()).digest()
        name = self._named(digest)
        return None if name is None else (self._sessions.open(digest), name)

    def sign_out(self, request: web.Request) -> None:
        """End the caller's session."""
        self._sessions.close(request.cookies.get(COOKIE, ""))

    def _by_key(self, request: web.Request) -> str | None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("api-key")
        return None if not key else self._named(sha256(key.encode("utf-8", "surrogateescape")).digest())

    def _by_session(self, request: web.Request) -> str | None:
        digest = self._sessions.find(request.cookies.get(COOKIE, ""))
        return None if digest is None else self._named(digest)

    def _named(self, digest: bytes) -> str | None:
        """All keys are compared, each in constant time: how long it takes tells nothing."""
        found = [name for known, name in self._keys.items() if compare_digest(known, digest)]
        return found[0] if found else None


def same_origin(request: web.Request) -> bool:
    """Does the request come from our own page, or from no page at all?

    Browsers say where a request comes from and pages cannot change that (Fetch Metadata, W3C; Origin, RFC 6454). What
    neither field is in comes from no current browser. `Host` may be rewritten on the way, so it counts only where a
    browser does not say the one thing itself, which is without TLS.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is None or urlsplit(origin).netloc.lower() == request.host.lower()


def _names_loopback(host: str) -> bool:
    """Only names that no name server can point elsewhere: against DNS rebinding."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
