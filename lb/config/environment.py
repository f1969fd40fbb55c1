"""The environment, as the C# sample of old has it and more, becomes a draft."""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher

from lb.config.draft import Draft, Origin, Source
from lb.config.settings import ALL_PROXY, BACKEND_FIELDS, BY_VARIABLE, CONFIG_INLINE, KEY_LISTS, VARIABLES
from lb.config.values import did_you_mean

_KUBERNETES = re.compile(r"LB_SERVICE_.*|LB_PORT_.*", re.DOTALL)
_INJECTED = re.compile(r".+_SERVICE_(HOST|PORT(_.+)?)|.+_PORT(_[0-9]+_(TCP|UDP|SCTP)(_.+)?)?", re.DOTALL)
_OF_ONE_SIGNAL = re.compile(r"OTEL_EXPORTER_OTLP_(TRACES|METRICS)_[A-Z_]+")
_TOKEN = re.compile(r"[A-Z0-9._-]{1,50}")
SERVICE_LINKS = "; if Kubernetes injected it for a Service, set enableServiceLinks: false"


def variables(environ: Mapping[str, str], draft: Draft) -> dict[str, str]:
    """Ours among the environment's variables: names in upper case, values trimmed, empty ones left out."""
    found: dict[str, str] = {}
    for spelled in sorted(environ):
        name, value = spelled.upper(), environ[spelled].strip()
        if value and _OF_ONE_SIGNAL.fullmatch(name) and name not in VARIABLES:
            draft.unread.append(name)
        if not value or not _ours(name, value):
            continue
        if name == CONFIG_INLINE:
            value = environ[spelled]  # blanks in front are what YAML is made of
        if name in found and (found[name] != value or name.startswith(("LB_", "BACKEND_"))):
            draft.problems.append(f"{name}: found twice, in upper and in lower case; allowed is once")
        found.setdefault(name, value)
    return found


def _ours(name: str, value: str) -> bool:
    if name == "LB_PORT" and value.lower().startswith(("tcp://", "udp://", "sctp://")):
        return False
    return name in VARIABLES or (name.startswith(("LB_", "BACKEND_")) and not _KUBERNETES.fullmatch(name))


def read_environment(found: Mapping[str, str], draft: Draft) -> None:
    """Put what the variables say into the draft, over what is there."""
    backends: dict[str, dict[str, str]] = {}
    for name, value in found.items():
        if name.startswith("BACKEND_"):
            _backend_variable(name, value, backends, draft)
        elif name in BY_VARIABLE:
            draft.put(BY_VARIABLE[name].path, value, Origin(Source.ENVIRONMENT, name))
        elif name not in VARIABLES:
            draft.problems.append(_unknown(name))
    _proxies(found, draft)
    for variable in found.keys() & KEY_LISTS.keys():
        _keys(variable, found[variable], draft)
    if backends or any(name.startswith("BACKEND_") for name in found):
        _put_backends(backends, draft)


def _unknown(name: str) -> str:
    known = [variable for variable in VARIABLES if variable.startswith("LB_")]
    close = did_you_mean(name, known)
    hint = SERVICE_LINKS if _INJECTED.fullmatch(name) else ""
    return f"{name}: found a name that lb does not know{close or '; allowed are ' + ', '.join(known)}{hint}"


def _proxies(found: Mapping[str, str], draft: Draft) -> None:
    """ALL_PROXY is for what has no proxy variable of its own, as in curl."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY"):
        if ALL_PROXY in found and name not in found:
            draft.put(BY_VARIABLE[name].path, found[ALL_PROXY], Origin(Source.ENVIRONMENT, ALL_PROXY))


def _backend_variable(name: str, value: str, backends: dict[str, dict[str, str]], draft: Draft) -> None:
    """`BACKEND_<x>_<suffix>`: the suffix is matched from the right, since `<x>` may hold underscores."""
    for suffix, field in BACKEND_FIELDS.items():
        token = name.removeprefix("BACKEND_").removesuffix(suffix)
        if not name.endswith(suffix) or not (token == "" or token.endswith("_")):
            continue
        token = token[:-1]
        if _TOKEN.fullmatch(token):
            backends.setdefault(token, {})[field] = value
        else:
            draft.problems.append(
                f"{name[:80]!r}: found no name that can be used between BACKEND_ and _{suffix}; "
                f"allowed are up to 50 letters, digits and underscores, e.g. BACKEND_1_{suffix}"
            )
        return
    draft.problems.append(_unknown_suffix(name))


def _unknown_suffix(name: str) -> str:
    words = name.split("_")[1:]
    splits = [("_".join(words[:at]), "_".join(words[at:])) for at in range(1, len(words))] or [("1", "_".join(words))]
    score, token, suffix = max(
        (SequenceMatcher(None, tail, known).ratio(), token, known) for token, tail in splits for known in BACKEND_FIELDS
    )
    known = ", ".join(BACKEND_FIELDS)
    close = f"; did you mean BACKEND_{token}_{suffix}?" if score >= 0.7 else ""
    hint = SERVICE_LINKS if _INJECTED.fullmatch(name) else ""
    return f"{name}: found a name that lb does not know{close or f'; allowed is BACKEND_<x>_ and {known}'}{hint}"


def _put_backends(backends: Mapping[str, Mapping[str, str]], draft: Draft) -> None:
    """Any BACKEND_ variable replaces all backends of the file: a mix of both would be nobody's intention."""
    draft.put(("backends",), [], Origin(Source.ENVIRONMENT, "BACKEND_*"))
    for index, token in enumerate(sorted(backends, key=_natural)):
        name = f"BACKEND_{token}"
        draft.tree["backends"].append({"name": name, **backends[token]})
        draft.origins["backends", index] = Origin(Source.ENVIRONMENT, name)
        for suffix, field in BACKEND_FIELDS.items():
            if field in backends[token]:
                draft.origins["backends", index, field] = Origin(Source.ENVIRONMENT, f"{name}_{suffix}")


def _natural(token: str) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", token) if part]


def _keys(variable: str, value: str, draft: Draft) -> None:
    """`name:key` or `name:sha256:<hex>`, with commas between. A name that comes again has another key."""
    keys: dict[str, list[str]] = {}
    section, origin = KEY_LISTS[variable], Origin(Source.ENVIRONMENT, variable)
    for number, entry in enumerate([entry.strip() for entry in value.split(",") if entry.strip()], 1):
        name, colon, key = (part.strip() for part in entry.partition(":"))
        if not (colon and name and key):
            draft.problems.append(
                f"{variable} entry {number}: found no name and key; allowed is name:key or name:sha256:<hex>"
            )
            continue
        keys.setdefault(name, []).append(key)
    if not value.strip(" ,"):
        draft.problems.append(f"{variable}: found no entry; allowed is name:key or name:sha256:<hex>")
    draft.put((section,), [{"name": name, "keys": listed} for name, listed in keys.items()], origin)
    for index in range(len(keys)):
        draft.origins[section, index] = origin
