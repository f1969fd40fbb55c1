"""Who may call: keys, and tokens of Microsoft Entra."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from lb.config.values import Wrong, guid, items, name, secret, text

PUBLIC_AUTHORITY = "https://login.microsoftonline.com"
V1_ISSUERS = {
    PUBLIC_AUTHORITY: "https://sts.windows.net",
    "https://login.microsoftonline.us": "https://sts.windows.net",
    "https://login.partner.microsoftonline.cn": "https://sts.chinacloudapi.cn",
    "https://login.chinacloudapi.cn": "https://sts.chinacloudapi.cn",
}
"""Tokens of version 1.0 name an issuer of their own (Microsoft identity platform, access token claims: `iss`)."""

AUDIENCES = (
    "https://cognitiveservices.azure.com",
    "https://cognitiveservices.azure.com/",
    "https://ai.azure.com",
    "https://ai.azure.com/",
)
"""What clients of Azure OpenAI ask tokens for, in both spellings that are in use."""

_DIGEST = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EntraSettings:
    """Which tokens are good: all that a validation needs to know."""

    tenant: str
    audiences: tuple[str, ...]
    issuers: tuple[str, ...]
    keys_url: str
    allowed: Mapping[str, str]
    """App or object id to the caller's name."""


def digests(value: object) -> tuple[bytes, ...]:
    """SHA-256 of every key: what is compared, and all that is kept. `sha256:<hex>` is a digest already."""
    found = [text(item) for item in (value if isinstance(value, list) else [value])]
    if not found:
        raise Wrong("at least one key")
    return tuple(dict.fromkeys(_digest(key) for key in found))


def _digest(key: str) -> bytes:
    head, colon, digest = key.partition(":")
    if colon and head.lower() == "sha256":
        if not _DIGEST.fullmatch(digest):
            raise Wrong("sha256: and 64 hexadecimal digits, or a plain key")
        return bytes.fromhex(digest)
    return sha256(secret(key).encode()).digest()


def client_name(value: object) -> str:
    """A caller's name. `sha256` is none: then the name was forgotten."""
    found = name(value)
    if found.lower() == "sha256":
        raise Wrong("a client's name before the key, as in name:sha256:<hex>")
    return found


def allowed(value: object) -> dict[str, str]:
    """Id to name, from `id`, `name:id`, or a mapping of names to ids. An id without a name is its own name."""
    if isinstance(value, dict):
        pairs = [(text(key), text(item)) for key, item in value.items()]
    else:
        pairs = [_named(item) for item in items(value)]
    if not pairs:
        raise Wrong("at least one app or object id: without a list anyone in the tenant could call")
    found: dict[str, str] = {}
    for caller, identity in pairs:
        identity = guid(identity)
        if found.setdefault(identity, name(caller)) != caller:
            raise Wrong(f"every id once: {identity} has two names")
    return found


def _named(item: str) -> tuple[str, str]:
    caller, colon, identity = item.rpartition(":")
    identity = identity.strip()
    return (caller.strip(), identity) if colon else (identity.lower(), identity)


def audiences(value: object) -> tuple[str, ...]:
    """Values of `aud` that are meant for us; app ids are fine, too."""
    found = items(value)
    if not found or not all(re.fullmatch(r"[!-~]+", item) for item in found):
        raise Wrong("at least one audience, e.g. https://cognitiveservices.azure.com")
    return tuple(dict.fromkeys(found))


def issuers(value: object) -> tuple[str, ...]:
    """Values of `iss`, as they stand in the tokens."""
    found = items(value)
    if not found or not all(re.fullmatch(r"https?://[!-~]+", item) for item in found):
        raise Wrong("at least one issuer as tokens name it, e.g. https://sts.windows.net/<tenant id>/")
    return tuple(dict.fromkeys(found))


def derived_issuers(authority: str, tenant: str) -> tuple[str, ...]:
    """The issuers of version 2.0 and, where the cloud is known, of version 1.0."""
    v2 = f"{authority}/{tenant}/v2.0"
    v1 = V1_ISSUERS.get(authority)
    return (v2, f"{v1}/{tenant}/") if v1 else (v2,)
