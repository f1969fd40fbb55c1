"""What one reply means. Only this module reads status codes and Retry-After; everybody else reads verdicts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

DEFAULT_COOLDOWN = 10.0
"""Seconds to stay away when a throttled reply does not say for how long (what the C# sample took)."""
MIN_COOLDOWN = 0.1
MAX_COOLDOWN = 120.0
NO_DEPLOYMENT = "DeploymentNotFound: there is no deployment of this name"
_NO_DEPLOYMENT_CODE = re.compile(rb'"(?:code|type)"\s*:\s*"DeploymentNotFound"', re.IGNORECASE)
"""As a code only: messages repeat what callers sent, and with these words in an id they could eject a backend."""

_MISS_CODE = re.compile(
    rb'"code"\s*:\s*"(?:previous_response_not_found|invalid_encrypted_content|item_not_found|file_?not_?found)"',
    re.IGNORECASE,
)
_MISS_MESSAGE = re.compile(
    rb'"message"\s*:\s*"(?:[^"\\]|\\.){0,2000}?'
    rb"(?:\bnot\s+(?:be\s+)?found\b|\bcould not be (?:verified|decrypted|parsed)\b|"
    rb"ownership verification failure|\bdoes not exist\b|\bno such\b|\bno \w+ found\b)",
    re.IGNORECASE,
)
"""What is said of an object of another resource. Azure was seen to say it with the code and without one."""

Get = Callable[[bytes], bytes | None]
"""First value of a header field by its lower-case name."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Good enough for the client: a success (`served`), or an error that is about the request itself.

    Such an error proves that the backend works, but not that it has capacity again.
    """

    served: bool = True
    said: str = "relayed"


@dataclass(frozen=True, slots=True)
class Throttled:
    """The backend asked for silence. `seconds` is clamped; `asked` is what it said, None when nothing usable."""

    seconds: float
    reason: str
    asked: float | None = None
    said: str = "throttled"


@dataclass(frozen=True, slots=True)
class Faulted:
    """The backend failed. `whole`: it could not even be reached, so nothing was sent and every deployment suffers.
    `silent`: it took the request and said nothing, which is costly to find out again. `in_stream`: told by an event of
    a stream that began well."""

    reason: str
    whole: bool = False
    silent: bool = False
    in_stream: bool = False
    said: str = "faulted"


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """The backend refused our own credential, or does not have the deployment: an operator has to act."""

    reason: str
    said: str = "misconfigured"


@dataclass(frozen=True, slots=True)
class Unsent:
    """We could not even try: this machine is short of something. It tells nothing about the backend."""

    reason: str
    said: str = "unsent"


@dataclass(frozen=True, slots=True)
class Missed:
    """The backend does not have an object that the request names, so it did nothing: another one may have it."""

    reason: str
    served: bool = False
    said: str = "missed"


Verdict = Relay | Throttled | Faulted | Misconfigured | Missed | Unsent

RELAY = Relay()
RELAY_ERROR = Relay(served=False)


@dataclass(frozen=True, slots=True)
class Judge:
    """Reads replies. `max_cooldown` clamps what strangers ask for; `today` is seconds since the epoch, needed only for
    a Retry-After date in a reply that carries no `Date`."""

    today: Callable[[], float]
    max_cooldown: float = MAX_COOLDOWN

    def head(self, status: int, get: Get) -> Verdict:
        """Judge by status and header fields; an unclear one may turn out otherwise by its body (see `body`)."""
        if status < 400:
            return RELAY
        if status == 429 or (status == 503 and asks_for_silence(get)):
            return self.throttled(f"HTTP {status}", get)
        if status >= 500 or status == 408:
            return Faulted(f"HTTP {status}")
        if status in (401, 403):
            return Misconfigured(f"HTTP {status}: the backend refuses the credential it was given")
        return RELAY_ERROR

    def unclear(self, status: int, *, bound: bool) -> bool:
        """Is this status ambiguous without the reply's body? `bound`: the request names objects."""
        return status == 404 or (bound and status == 400)

    def body(self, status: int, body: bytes, *, bound: bool = False) -> Verdict:
        """Judge an unclear status: 404 for a deployment that is not there, 404 or 400 for an object that is not."""
        if status == 404 and _NO_DEPLOYMENT_CODE.search(body):
            return Misconfigured(NO_DEPLOYMENT)
        if bound and (status == 404 or _MISS_CODE.search(body) or _MISS_MESSAGE.search(body)):
            return Missed(f"HTTP {status}: it does not have what the request names")
        return RELAY_ERROR

    def throttled(self, reason: str, get: Get) -> Throttled:
        """How long to stay away, by the first header that says something usable."""
        asked = asked_cooldown(get, self.today)
        seconds = DEFAULT_COOLDOWN if asked is None else asked
        return Throttled(min(max(seconds, MIN_COOLDOWN), self.max_cooldown), reason, asked)


def asks_for_silence(get: Get) -> bool:
    """Does a 503 name a time? Then it is throttling, not a fault."""
    return any(get(name) for name in (b"retry-after", b"retry-after-ms", b"x-ms-retry-after-ms"))


def asked_cooldown(get: Get, today: Callable[[], float]) -> float | None:
    """Seconds that a reply asks for, or None.

    Azure's documented order: the exact milliseconds first, then Retry-After (RFC 9110 section 10.2.3), then the resets
    of its windows. What is zero, negative or unreadable counts as not said.
    """
    for name, factor in ((b"retry-after-ms", 0.001), (b"x-ms-retry-after-ms", 0.001), (b"retry-after", 1.0)):
        seconds = _number(get(name))
        if seconds is None and factor == 1.0:
            seconds = _until_date(get, today)
        if seconds is not None and seconds > 0:
            return seconds * factor
    for name in (b"x-ratelimit-reset-requests", b"x-ratelimit-reset-tokens"):
        seconds = duration(get(name))
        if seconds is not None and seconds > 0:
            return seconds
    return None


_NUMBER = re.compile(rb"\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*")
_DURATION = re.compile(rb"\s*(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?"
                       rb"(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?\s*")  # fmt: skip


def _number(value: bytes | None) -> float | None:
    """A decimal number; one too large for a float is infinite, and so clamped like any other."""
    found = _NUMBER.fullmatch(value) if value is not None else None
    return float(found[1]) if found else None


def duration(value: bytes | None) -> float | None:
    """Seconds in `12`, `6s`, `1m30s`, `250ms`, `1h`; None for anything else."""
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    found = _DURATION.fullmatch(value)
    if not found or not any(found.groups()):
        return None
    parts = zip(found.groups(), (86400.0, 3600.0, 60.0, 1.0, 0.001), strict=True)
    return sum(float(part) * unit for part, unit in parts if part)


def _until_date(get: Get, today: Callable[[], float]) -> float | None:
    """Seconds until the date in Retry-After, against the reply's own Date, so that a wrong clock does not matter."""
    until = _date(get(b"retry-after"))
    if until is None:
        return None
    sent = _date(get(b"date"))
    return until - (sent if sent is not None else today())


def _date(value: bytes | None) -> float | None:
    if value is None:
        return None
    try:
        moment = parsedate_to_datetime(value.decode("ascii"))
        # A form without a zone means UTC (RFC 9110 section 5.6.7), not the zone of this machine.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


MAX_DIGITS = 18
"""Of a limit or of what is left of it; nobody has more tokens than that."""


def headroom(get: Get) -> float | None:
    """Share of the token or request limit that is left, 0 to 1, whichever is less; None when it is not told.

    Advice only: Azure was seen to answer `limit: -1`, and a negative rest on requests that it completed.
    """
    shares = []
    for kind in (b"tokens", b"requests"):
        left, limit = _count(get(b"x-ratelimit-remaining-" + kind)), _count(get(b"x-ratelimit-limit-" + kind))
        if left is not None and limit:
            shares.append(min(1.0, left / limit))
    return min(shares, default=None)


def _count(value: bytes | None) -> int | None:
    return int(value) if value is not None and value.isdigit() and len(value) <= MAX_DIGITS else None
