"""Where a backend's URL points to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a backend's URL, ready for use."""

    host: str
    port: int
    tls: bool
    authority: bytes
    """As the `Host` field says it: with the port only where it is not the scheme's own."""
    prefix: bytes
    """The path that goes in front of every target; no trailing slash."""

    @property
    def name(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises `ValueError` for what is not `http(s)://host[:port][/prefix]`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"a backend's URL begins with http:// or https:// and a host: {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("a backend's URL holds no user name, query or fragment")
        tls = parts.scheme == "https"
        own = 443 if tls else 80
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
        authority = f"[{host}]" if ":" in host else host
        if (parts.port or own) != own:
            authority += f":{parts.port}"
        return cls(host, parts.port or own, tls, authority.encode(), parts.path.rstrip("/").encode("ascii"))
