"""Which prompts and answers are recorded, and where they go."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr

from lb.config import values
from lb.config.section import Section
from lb.config.values import Wrong

KIB, MIB, GIB = 2**10, 2**20, 2**30
SINKS = ("off", "stdout", "file", "blob", "eventhubs")
RECORD_BYTES = {"stdout": 15 * KIB, "eventhubs": 200 * KIB}
"""What a record may take where nothing is said: container runtimes split lines at 16 KiB; an event of Event Hubs' basic
tier may have 256 KB."""
USUAL_RECORD_BYTES = 256 * KIB
_HOOK = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PATTERN_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_ADDRESS = re.compile(r"[!-~]+")


def _url(value: object) -> str:
    """A container's URL, or an event hub's address. Keys have a place of their own."""
    found = values.text(value)
    parts = urlsplit(found if "://" in found else f"https://{found}")
    path = [segment for segment in parts.path.split("/") if segment]
    if not _ADDRESS.fullmatch(found) or "?" in found or "#" in found or "@" in found or not parts.hostname or not path:
        raise Wrong(
            "https://account.blob.core.windows.net/container, or namespace.servicebus.windows.net/hub, without a key"
        )
    return found.rstrip("/")


def _patterns(value: object) -> dict[str, str]:
    """A mapping of names to regular expressions; in the environment a line for each, as `name=expression`."""
    if isinstance(value, dict):
        pairs = [(str(name), values.text(pattern)) for name, pattern in value.items()]
    else:
        lines = [line.strip() for line in values.text(value).splitlines() if line.strip()]
        pairs = [(name.strip(), pattern.strip()) for name, _, pattern in (line.partition("=") for line in lines)]
    for name, pattern in pairs:
        _check_pattern(name, pattern)
    if not pairs or len(dict(pairs)) < len(pairs):
        raise Wrong("a regular expression for each name, each name once")
    return dict(pairs)


def _check_pattern(name: str, pattern: str) -> None:
    if not _PATTERN_NAME.fullmatch(name):
        raise Wrong("names of letters, digits, dashes and underscores, each with a regular expression")
    try:
        empty = re.compile(pattern).match("") is not None
    except (re.error, RecursionError, OverflowError) as problem:
        raise Wrong(f"regular expressions; that of {name} is none: {problem}") from None
    if empty:
        raise Wrong(
            f"regular expressions that match something; that of {name} matches nothing at all, which is anywhere"
        )


def _hook(value: object) -> str:
    found = values.text(value)
    if not _HOOK.fullmatch(found):
        raise Wrong("a Python function as module:function")
    return found


def _connection(value: object) -> str:
    """As the Azure portal shows it: `name=value;name=value`."""
    found = values.text(value)
    if "=" not in found or not all(" " <= character <= "~" for character in found):
        raise Wrong("a connection string as the Azure portal shows it")
    return found


def tenant_audit(value: object) -> str:
    """`true` is all, `false` none."""
    found = values.text(value).lower()
    if found == "sample":
        return found
    try:
        return "all" if values.switch(value) else "none"
    except Wrong:
        raise Wrong("true, false or sample") from None


class AuditSection(Section):
    """What is recorded of prompts and answers, and where it goes."""

    to: Annotated[Literal["off", "stdout", "file", "blob", "eventhubs"], BeforeValidator(values.choice(*SINKS))] = "off"
    who: Annotated[Literal["all", "sample", "none"], BeforeValidator(values.choice("all", "sample", "none"))] = "all"
    sample: Annotated[float, BeforeValidator(values.number(0, 1))] = 0.01
    file: Annotated[str, BeforeValidator(values.file_path)] | None = None
    file_bytes: Annotated[int, BeforeValidator(values.size(MIB, 64 * GIB))] = 100 * MIB
    file_count: Annotated[int, BeforeValidator(values.whole(1, 10_000))] = 10
    file_daily: Annotated[bool, BeforeValidator(values.switch)] = False
    url: Annotated[str, BeforeValidator(_url)] | None = None
    connection_string: Annotated[SecretStr, BeforeValidator(_connection)] | None = Field(default=None, repr=False)
    redact: Annotated[dict[str, str], BeforeValidator(_patterns)] | None = None
    hook: Annotated[str, BeforeValidator(_hook)] | None = None
    field_bytes: Annotated[int, BeforeValidator(values.size(64, 16 * MIB))] = 64 * KIB
    record_bytes: Annotated[int, BeforeValidator(values.size(4 * KIB, 16 * MIB))] | None = None
    queue_bytes: Annotated[int, BeforeValidator(values.size(MIB, 64 * GIB))] = 64 * MIB

    @property
    def record_most(self) -> int:
        """What a record may take, also where nothing is said."""
        return self.record_bytes or RECORD_BYTES.get(self.to, USUAL_RECORD_BYTES)

    @property
    def place(self) -> str:
        """Where records go, for a log line."""
        return {"stdout": "stdout", "file": f"the file {self.file}"}.get(self.to, str(self.url))
