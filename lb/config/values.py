"""How single values are read. The environment and the file both give text, so a value means the same in both.

Every reader returns the value or raises `Wrong`, whose text says what is allowed.
"""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_SIZE = re.compile(r"([0-9]+) ?(|b|kb|mb|gb|kib|mib|gib)", re.IGNORECASE)
_FACTORS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_TOKEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DEPLOYMENT = re.compile(r"[A-Za-z0-9._:@+~-]{1,128}")
_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


class Wrong(ValueError):
    """What was found is not allowed; the text says what is."""


def text(value: object) -> str:
    """One value without the blanks around it."""
    if not isinstance(value, str):
        raise Wrong("one plain value")
    return value.strip()


def whole(low: int, high: int) -> Callable[[object], int]:
    """A whole number in plain digits: `1_000`, `1e3` and `1.0` are refused."""

    def read(value: object) -> int:
        found = text(value)
        # twenty digits are more than any setting takes, and Python refuses to convert thousands of them
        if not _WHOLE.fullmatch(found) or len(found) > 20 or not low <= int(found) <= high:
            raise Wrong(f"a whole number from {low} to {high}")
        return int(found)

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    """A number in plain digits, with or without decimals: `nan`, `inf`, `1e3` and `1_000` are refused."""

    def read(value: object) -> float:
        found = text(value)
        if not _NUMBER.fullmatch(found) or not low <= float(found) <= high:
            raise Wrong(f"a number from {low:g} to {high:g}")
        return float(found)

    return read


def size(low: int, high: int) -> Callable[[object], int]:
    """Bytes, as a plain number or with a unit: `33554432`, `32MiB`, `32MB`."""

    def read(value: object) -> int:
        found = _SIZE.fullmatch(text(value))
        in_bytes = int(found[1]) * _FACTORS[found[2].lower()] if found and len(found[1]) <= 20 else -1
        if not low <= in_bytes <= high:
            raise Wrong(
                f"a size from {size_text(low)} to {size_text(high)}, in bytes or with KB, MB, GB, KiB, MiB, GiB"
            )
        return in_bytes

    return read


def size_text(in_bytes: int) -> str:
    """As an operator would write it, e.g. `32MiB`."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if in_bytes and in_bytes % factor == 0:
            return f"{in_bytes // factor}{unit}"
    return str(in_bytes)


def switch(value: object) -> bool:
    """True or false."""
    try:
        return _SWITCH[text(value).lower()]
    except KeyError:
        raise Wrong("true or false") from None


def choice(*allowed: str) -> Callable[[object], str]:
    """One of a few words, in any case."""

    def read(value: object) -> str:
        found = text(value).lower()
        if found not in allowed:
            raise Wrong(f"{', '.join(allowed[:-1])} or {allowed[-1]}{did_you_mean(found, allowed)}")
        return found

    return read


def did_you_mean(found: str, known: Sequence[str]) -> str:
    """`; did you mean X?`, or nothing when nothing known comes close."""
    close = get_close_matches(found, known, n=1, cutoff=0.7)
    return f"; did you mean {close[0]}?" if close else ""


def host(value: object) -> str:
    """A host name or an IP address, as listeners take it; `[::]` becomes `::`."""
    found = text(value)
    bare = found[1:-1] if found.startswith("[") and found.endswith("]") else found
    if not is_host(bare):
        raise Wrong("a host name or an IP address")
    return bare


def is_host(found: str) -> bool:
    """Is it an IP address or a host name? Underscores are allowed, since container networks use them."""
    try:
        ip_address(found)
    except ValueError:
        if re.fullmatch(r"[0-9.]+", found):
            return False  # a mistyped IPv4 address, which is no name either
        return len(found) <= 253 and all(_LABEL.fullmatch(label) for label in found.removesuffix(".").split("."))
    return True


def guid(value: object) -> str:
    """An id as Microsoft Entra writes it, in lower case."""
    found = text(value)
    if not _GUID.fullmatch(found):
        raise Wrong("an id such as 00000000-0000-0000-0000-000000000000")
    return found.lower()


def name(value: object) -> str:
    """A name that can stand in a header, a log line and a metric label."""
    found = text(value)
    if not _TOKEN.fullmatch(found):
        raise Wrong("a name of 1 to 64 letters, digits, dots, dashes and underscores")
    return found


def file_path(value: object) -> str:
    """A file that is written, in a directory that is there."""
    found = text(value)
    path = Path(found or "/")
    if any(character in found for character in "\0\r\n") or path.is_dir() or not path.absolute().parent.is_dir():
        raise Wrong("the path of a file, in a directory that exists")
    return found


def deployment(value: object) -> str:
    """A deployment's name: it becomes one segment of a path, so that it must not be able to become two."""
    found = text(value)
    if not _DEPLOYMENT.fullmatch(found) or found.strip(".") == "":
        raise Wrong("a deployment name of 1 to 128 letters, digits, and any of . _ : @ + ~ -")
    return found


def secret(value: object) -> str:
    """A key that can be sent in a header: what RFC 9110 5.5 calls VCHAR, so no blank, line break or accent."""
    found = text(value)
    if not found or not all("!" <= character <= "~" for character in found):
        raise Wrong("a key of visible ASCII characters, without blanks or line breaks")
    return found


def bounds(low: float, high: float, most: int) -> Callable[[object], tuple[float, ...]]:
    """The upper bounds of a histogram's buckets, each larger than the one before."""

    def read(value: object) -> tuple[float, ...]:
        try:
            found = tuple(map(number(low, high), items(value)))
        except Wrong:
            found = ()
        if not 0 < len(found) <= most or any(one >= other for one, other in pairwise(found)):
            raise Wrong(f"up to {most} numbers from {low:g} to {high:.0f}, each larger than the one before")
        return found

    return read


def items(value: object) -> list[str]:
    """A list, or one text with commas. Empty items are dropped, so that a trailing comma does no harm."""
    if isinstance(value, list):
        return [text(item) for item in value if item is not None]
    return [item.strip() for item in text(value).split(",") if item.strip()]
