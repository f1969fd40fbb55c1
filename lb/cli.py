"""The command line: reads options and the environment, runs one of the commands, gives its exit code."""

import os
import sys
from datetime import datetime
from typing import BinaryIO, NoReturn, TextIO

import click

from lb.build import COMPILED, VERSION
from lb.config import ConfigProblems, Loaded, read
from lb.sim.command import sim
from lb.usage.names import FIELDS, FORMATS, USUAL

WRONG_CONFIGURATION = 2


def _refuse(problems: ConfigProblems) -> NoReturn:
    for line in problems.problems:
        click.echo(f"lb: {line}", err=True)
    sys.exit(WRONG_CONFIGURATION)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(f"{VERSION}, compiled" if COMPILED else VERSION, prog_name="lb")
def main() -> None:
    """One base URL in front of several Azure OpenAI endpoints.

    Every setting may come from the environment (BACKEND_1_URL, LB_PORT, ...) or from a YAML file; docs/configuration.md
    lists them all. `lb demo` shows it at work without an Azure subscription.
    """


_DAY = click.DateTime(["%Y-%m-%d"])
_CONFIG = click.option("--config", metavar="FILE", help="YAML or JSON file; LB_CONFIG names one, too.")


@main.command(short_help="Run the load balancer until SIGTERM or SIGINT.")
@_CONFIG
@click.option("--host", metavar="H", help="Address to listen on (LB_HOST).")
@click.option("--port", type=int, metavar="P", help="Port to listen on (LB_PORT).")
@click.option("--workers", type=int, metavar="N", help="Processes that share one health table (LB_WORKERS).")
def serve(config: str | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Run the load balancer until SIGTERM or SIGINT; SIGHUP reads the configuration again."""
    from lb.process.lifecycle import run

    def load() -> Loaded:
        return read(_environment(), config, host=host, port=port, workers=workers)

    try:
        loaded = load()
    except ConfigProblems as problems:
        _refuse(problems)
    sys.exit(run(loaded, load))


@main.command(short_help="Print the configuration and every problem; --probe asks backends.")
@_CONFIG
@click.option("--probe", is_flag=True, help="Ask each backend: name, TLS, credential, deployments.")
def check(config: str | None, probe: bool) -> None:
    """Print the configuration with secrets masked, and every problem at once.

    Exit code 0: fine, 2: the configuration is wrong, 3: a probe failed.
    """
    from lb.check import run_check

    sys.exit(run_check(_environment(), config, probe, sys.stdout))


@main.command(short_help="Live table of the backends of a running balancer.")
@click.argument("url", default="http://127.0.0.1:8081")
@click.option("--once", is_flag=True, help="Print one table and end.")
@click.option(
    "--key-file", type=click.File(), metavar="FILE", help="Holds an operator's key (LB_ADMIN_KEYS); - is stdin."
)
def status(url: str, once: bool, key_file: TextIO | None) -> None:
    """Live table of the backends of a running balancer.

    URL is that of its operator listener (LB_ADMIN_HOST, LB_ADMIN_PORT), by default http://127.0.0.1:8081. A browser
    shows more there.
    """
    from lb.status import show

    sys.exit(show(url, once=once, key=key_file.read().strip() if key_file else None))


@main.command(short_help="What was used, by tenant, deployment and day.")
@_CONFIG
@click.option("--store", "stores", metavar="PATH", multiple=True, help="The file (LB_USAGE_STORE); several are summed.")
@click.option("--by", default=",".join(USUAL), show_default=True, metavar="NAMES", help=f"Of {', '.join(FIELDS)}.")
@click.option("--since", type=_DAY, metavar="DAY", help="From this day on (UTC), such as 2026-11-01.")
@click.option("--until", type=_DAY, metavar="DAY", help="Up to this day, which is included.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def usage(
    config: str | None,
    stores: tuple[str, ...],
    by: str,
    since: datetime | None,
    until: datetime | None,
    form: str,
) -> None:
    """What was used, by tenant, deployment and day, from the file that LB_USAGE_STORE names.

    Tokens are those that backends reported. `estimated` says how many of them were counted here instead, `unknown` how
    many replies did not tell. `--by ""` adds up everything. Exit code 1: a store cannot be read.
    """
    from lb.usage.report import show

    names = [name.strip() for name in by.split(",") if name.strip()]
    wrong = [name for name in names if name not in FIELDS]
    if wrong or len(set(names)) < len(names):
        raise click.BadParameter(f"allowed are {', '.join(FIELDS)}, each once", param_hint="--by")
    first, last = (day.date().isoformat() if day else None for day in (since, until))
    sys.exit(show(stores or _store(config), names, form, sys.stdout, sys.stderr, since=first, until=last))


def _store(config: str | None) -> list[str]:
    try:
        found = read(_environment(), config).config.usage.store
    except ConfigProblems as problems:
        _refuse(problems)
    if found is None:
        raise click.UsageError("found no usage store; name it by --store or LB_USAGE_STORE")
    return [found]


@main.command(short_help="The JSON log stream, read back as the story of each request.")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--request", metavar="ID", help="Only this request.")
@click.option("--backend", metavar="NAME", help="Only requests that asked this backend, and what became of it.")
@click.option("--only-failovers", is_flag=True, help="Leave out requests that went straight through.")
@click.option("--colour/--no-colour", default=None, help="By default on a terminal.")
def logs(file: BinaryIO, request: str | None, backend: str | None, only_failovers: bool, colour: bool | None) -> None:
    """The JSON log stream, read back as the story of each request: who was asked, what came of it, and for how long a
    backend is left alone.

    Pipe it in: `kubectl logs -f deploy/openai-lb | lb logs`, `az containerapp logs show --follow --format json ... | lb
    logs`, or rows of Log Analytics. Lines that are none of ours pass through.
    """
    from lb.logs.command import read as read_stream
    from lb.logs.drawing import Filter

    read_stream(file, Filter(request, backend, failovers=only_failovers), colour=colour)


@main.command(short_help="See it at work: simulated endpoints, real SDK traffic.")
@click.option("--keep", is_flag=True, help="Leave everything running and print what to point a client at.")
@click.option("--seconds", type=click.FloatRange(2, 300), default=12.0, show_default=True, help="How long to send.")
@click.option("--tenants", is_flag=True, help="Instead: tenants of uneven appetite, each with a budget of its own.")
def demo(keep: bool, seconds: float, tenants: bool) -> None:
    """Three simulated throttled endpoints, the balancer, and real traffic by the official SDK."""
    from lb.demo import run

    sys.exit(run(keep=keep, seconds=seconds, tenants=tenants))


sim.short_help = "Run one simulated, throttled Azure OpenAI endpoint."
main.add_command(sim)


def _environment() -> dict[str, str]:
    return dict(os.environ)  # noqa: TID251 - the one place: everything else is told
