"""`lb check`: what holds, what is wrong, and with `--probe` whether the backends agree."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lb.checking.probe import probe_all
from lb.checking.step import Mark, Probe
from lb.config import Config, ConfigProblems, Loaded, effective, read
from lb.parts import clock, wall
from lb.wire.credentials import Credentials, default_azure

FINE, WRONG_CONFIGURATION, PROBE_FAILED = 0, 2, 3
_STYLES = {Mark.GOOD: "green", Mark.DOUBTFUL: "yellow", Mark.BAD: "bold red"}
_WIDTH_WITHOUT_TERMINAL = 160


class Tokens(Protocol):
    """Where tokens for backends without a key come from."""

    async def token(self, scope: str) -> str:
        """Raises `BackendFailed`."""

    async def close(self) -> None: ...


def azure(config: Config) -> Tokens:
    """As `lb serve` gets them."""
    return Credentials(wall, clock, default_azure(config.platform.azure_client_id))


def run_check(
    environ: Mapping[str, str],
    config_path: str | None,
    probe: bool,
    out: TextIO,
    tokens: Callable[[Config], Tokens] = azure,
) -> int:
    """Print, and return the exit code."""
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    try:
        loaded = read(environ, config_path)
    except ConfigProblems as wrong:
        if wrong.rest is not None:
            _print_configuration(wrong.rest, out)
        _print_problems(wrong.problems, out)
        return WRONG_CONFIGURATION
    _print_configuration(loaded, out)
    _print_warnings(loaded, out)
    print("The configuration is fine.", file=out)
    if not probe:
        return FINE
    probes = asyncio.run(_probe(loaded.config, tokens))
    console.print(_table(probes))
    return PROBE_FAILED if any(each.failed for each in probes) else FINE


async def _probe(config: Config, tokens: Callable[[Config], Tokens]) -> list[Probe]:
    source = tokens(config)
    try:
        return await probe_all(config, source.token, wall)
    finally:
        await source.close()


def _print_configuration(loaded: Loaded, out: TextIO) -> None:
    """Plain lines, never cut, so that they can be searched and pasted."""
    lines = effective(loaded)
    name_width = max(len(name) for name, _, _ in lines)
    value_width = min(max(len(value) for _, value, _ in lines), 48)
    for name, value, origin in lines:
        print(f"{name:{name_width}}  {value:{value_width}}  {origin}", file=out)
    print(file=out)


def _print_warnings(loaded: Loaded, out: TextIO) -> None:
    warnings = list(loaded.warnings)
    if loaded.config.open_to_strangers:
        warnings.append(
            f"anyone who reaches {loaded.config.listen.host} can spend the quota of every backend; "
            "set LB_CLIENT_KEYS, or LB_ENTRA_TENANT_ID and LB_ENTRA_ALLOWED"
        )
    for line in warnings:
        print(f"warning: {line}", file=out)


def _print_problems(problems: Iterable[str], out: TextIO) -> None:
    for line in problems:
        print(f"problem: {line}", file=out)


def _table(probes: list[Probe]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("backend", "asked", "", "ms", "answer"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "ms" else "left")
    for probe in probes:
        backend = probe.backend
        for step in probe.steps:
            mark = step.finding.mark
            # as Text, since names and answers may hold what rich would take for markup
            table.add_row(
                Text(backend),
                Text(step.name),
                Text(mark.value, style=_STYLES[mark]),
                f"{step.seconds * 1000:.0f}",
                Text(step.finding.detail),
            )
            backend = ""
    return table
