"""Addresses of backends, proxies and token issuers."""

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from lb.config.values import Wrong, is_host, items, text

LOOPBACK = ("localhost", "127.0.0.0/8", "::1")
_VISIBLE = re.compile(r"[!-~]+")


def endpoint(value: object) -> str:
    """A backend's URL in one spelling: scheme and host in lower case, a path prefix kept, no slash at the end."""
    found = text(value)
    parts = _parts(found, ("https", "http"))
    if "?" in found or "#" in found:
        raise Wrong("a URL without `?` and `#`: clients send their own query")
    segments = parts.path.rstrip("/").split("/")[1:]
    if "" in segments or "." in segments or ".." in segments or "\\" in parts.path:
        raise Wrong("a URL whose path has no empty and no dot segments")
    base = f"{parts.scheme}://{authority(parts)}"
    cut = _pasted(segments)
    if cut is not None:
        raise Wrong(f"the endpoint alone, here {'/'.join([base, *segments[:cut]])}: clients send the path that follows")
    return "/".join([base, *segments])


def _pasted(segments: Sequence[str]) -> int | None:
    """Where a path begins that clients send themselves, when an operation's URL was pasted for an endpoint's."""
    lowered = [segment.lower() for segment in segments]
    for index, segment in enumerate(lowered):
        following = lowered[index + 1 : index + 2]
        if segment == "openai" and following in ([], ["v1"], ["deployments"], ["responses"]):
            return index
        if segment == "deployments" and following:
            return index
    if lowered[-2:] in (["chat", "completions"], ["models", "embeddings"]):
        return max(len(lowered) - 3, 0) if lowered[-3:-2] == ["models"] else len(lowered) - 2
    return None


def proxy(value: object) -> str:
    """A proxy that speaks HTTP CONNECT, e.g. `http://user:password@proxy:3128`. Without a scheme `http` is meant.

    The way to the proxy itself is not encrypted: what goes through it is.
    """
    found = text(value)
    whole = found if "://" in found else f"http://{found}"
    parts = _parts(whole, ("http",), user=True)
    if parts.path not in ("", "/") or "?" in found or "#" in found:
        raise Wrong("a proxy such as http://proxy:3128, without a path")
    user = parts.netloc.rpartition("@")[0]
    return f"http://{user + '@' if user else ''}{_bracketed(parts)}:{parts.port or 80}"


def issuer_base(value: object) -> str:
    """Who issues tokens; plain http only on loopback, where tests have their own issuer."""
    found = text(value).rstrip("/")
    parts = _parts(found, ("https", "http"))
    if parts.path or "?" in found or "#" in found:
        raise Wrong("an address such as https://login.microsoftonline.com, without a path")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise Wrong("an https:// address: whoever can change the keys on their way can forge tokens")
    return f"{parts.scheme}://{authority(parts)}"


def redis(value: object) -> str:
    """Where Redis is, e.g. `rediss://:password@host:6380/0`; `rediss` is TLS."""
    found = text(value)
    parts = _parts(found, ("rediss", "redis"), user=True)
    if not re.fullmatch(r"(?:/[0-9]{0,3})?", parts.path) or "?" in found or "#" in found:
        raise Wrong("a URL such as rediss://host:6380, with a database's number behind a slash if any")
    return found


def scope(value: object) -> str:
    """A token scope."""
    found = text(value)
    if not _VISIBLE.fullmatch(found) or not found.endswith("/.default") or "://" not in found:
        raise Wrong("a scope such as https://cognitiveservices.azure.com/.default")
    return found


def _parts(found: str, schemes: tuple[str, ...], user: bool = False) -> SplitResult:
    """The URL's parts, which name a host that can exist and a port that can be connected to."""
    example = f"a URL such as {schemes[0]}://host" + (":3128" if user else "")
    # before urlsplit: it drops line breaks and tabs without a word
    if not _VISIBLE.fullmatch(found):
        raise Wrong(f"{example}, of visible ASCII characters without blanks")
    try:
        parts = urlsplit(found)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        raise Wrong(f"{example}, with a port from 1 to 65535 if any") from None
    if parts.scheme not in schemes:
        raise Wrong(f"{example} ({' or '.join(schemes)})")
    if not port_ok or parts.netloc.endswith(":") or not is_host(parts.hostname or ""):
        raise Wrong(f"{example}, with a host and a port from 1 to 65535 if any")
    if not user and "@" in parts.netloc:
        raise Wrong(f"{example} without a user name or password")
    return parts


def authority(parts: SplitResult) -> str:
    """Host in lower case, and port where one is given."""
    return _bracketed(parts) + (f":{parts.port}" if parts.port is not None else "")


def _bracketed(parts: SplitResult) -> str:
    hostname = parts.hostname or ""
    return f"[{hostname}]" if ":" in hostname else hostname


def is_loopback(hostname: str) -> bool:
    """Does it stay on this machine?"""
    try:
        return ip_address(hostname).is_loopback
    except ValueError:
        return hostname.lower().rstrip(".") == "localhost"


def _is_address(hostname: str) -> bool:
    try:
        ip_address(hostname)
    except ValueError:
        return False
    return True


def is_wildcard(hostname: str) -> bool:
    """Does a listener there take connections from every address?"""
    try:
        return ip_address(hostname).is_unspecified
    except ValueError:
        return False


def exceptions(value: object) -> tuple[str, ...]:
    """NO_PROXY's items: `*`, a host with its subdomains, `.suffix`, `*.suffix`, address or network; perhaps `:port`.

    Loopback is always among them, as in Go's HTTP client: no proxy can reach this machine's own addresses.
    """
    found = items(value)
    for item in found:
        if "/" in item:
            try:
                ip_network(item, strict=False)
            except ValueError:
                raise Wrong("host names, .suffixes, addresses, networks such as 10.0.0.0/8, or *") from None
    return tuple(dict.fromkeys([*LOOPBACK, *(item.lower() for item in found)]))


def is_excepted(url: str, no_proxy: Sequence[str]) -> bool:
    """Is this URL asked for without a proxy?"""
    parts = urlsplit(url)
    hostname = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return any(_matches(item, hostname, port) for item in no_proxy)


def _matches(item: str, hostname: str, port: int) -> bool:
    if item == "*":
        return True
    try:
        return ip_address(hostname) in ip_network(item.strip("[]"), strict=False)
    except ValueError:
        pass  # one of them is a name, or has a port; names are not resolved for this
    bare, colon, only_port = item.rpartition(":")
    if colon and only_port.isdigit() and (bare.endswith("]") or ":" not in bare):
        return port == int(only_port) and _matches(bare, hostname, port)
    bare = item.strip("[]").removeprefix("*").removeprefix(".")
    return hostname == bare or (hostname.endswith(f".{bare}") and not _is_address(hostname))
