"""`lb sim`: one simulated endpoint in the terminal."""

import asyncio
import re
import signal
from typing import Any

import click
import uvloop

from lb.sim.catalogue import CATALOGUE
from lb.sim.faults import Rule
from lb.sim.settings import Settings, Span
from lb.sim.simulator import Simulator


def _span(_ctx: click.Context, _param: click.Parameter, text: str) -> Span:
    try:
        return Span.parse(text)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def _faults(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(Rule.parse(text)) for given in texts for text in given.split(","))
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from None


def _names(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _list_faults(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        for kind, (scene, says) in CATALOGUE.items():
            click.echo(f"{kind:24}{scene.value:16}{says}")
        ctx.exit()


@click.command()
@click.option("--name", default="openai1", show_default=True, help="What the endpoint is called.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Where to listen; without it, a free port.")
@click.option("--tpm", type=click.IntRange(0), help="Tokens per minute of each deployment.")
@click.option("--rpm", type=click.IntRange(0), help="Requests per minute of each deployment.")
@click.option(
    "--object-rpm", type=click.IntRange(0), help="Requests per minute for stored objects, which name no deployment."
)
@click.option(
    "--window", "window_seconds", default=60.0, show_default=True, type=click.FloatRange(0, min_open=True),
    help="Seconds that a minute of the limits takes; shorter is livelier.",
)  # fmt: skip
@click.option("--throttle-in-stream", is_flag=True, help="Tell a throttled stream so by an event, under status 200.")
@click.option("--deployments", callback=_names, default="", help="a,b: only these exist. Without it, every name does.")
@click.option("--key", "keys", multiple=True, help="A credential that is let in; without one, everybody is.")
@click.option(
    "--latency", callback=_span, default="0", show_default=True, help="Until the reply's head: 0.2, or 0.1-0.5."
)
@click.option("--token-delay", callback=_span, default="0", show_default=True, help="Between two events of a stream.")
@click.option("--reply-tokens", default=16, show_default=True, type=click.IntRange(1), help="Length of an answer.")
@click.option(
    "--cache-seconds", default=300.0, show_default=True, type=click.FloatRange(0),
    help="How long a prompt's prefix stays cached after its last use; 0 is never.",
)  # fmt: skip
@click.option("--region", default="eastus2", show_default=True, help="The region that replies name.")
@click.option(
    "--fault", "faults", callback=_faults, multiple=True,
    help="[target=]kind[:value][@chance][*times], for example 500@0.05 or chat=429:7*3.",
)  # fmt: skip
@click.option(
    "--script", callback=_faults, multiple=True, help="One after the other, one for each request; ok is none."
)
@click.option("--seed", default=1, show_default=True, help="The same seed and requests give the same replies.")
@click.option(
    "--list-faults", is_flag=True, is_eager=True, expose_value=False, callback=_list_faults, help="Show every fault."
)
def sim(host: str, port: int, script: tuple[str, ...], **told: Any) -> None:
    """Run one simulated, throttled Azure OpenAI endpoint until interrupted."""
    settings = Settings(**told)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, host, port, script))
    except OSError as wrong:
        raise click.ClickException(f"cannot listen on {host}:{port}: {wrong.strerror}") from None


async def _serve(settings: Settings, host: str, port: int, script: tuple[str, ...]) -> None:
    over = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    simulator = Simulator(settings)
    simulator.faults.script(*script)
    url = await simulator.start(port, host)
    click.echo(welcome(settings, url))
    await over.wait()
    await simulator.stop()


def welcome(settings: Settings, url: str) -> str:
    """The one line: where it listens and what to set for the balancer to use it."""
    number = (re.search(r"(\d+)$", settings.name) or ["1"])[0]
    key = settings.keys[0] if settings.keys else "any"
    return f"{settings.name} listens on {url}: set BACKEND_{number}_URL={url} BACKEND_{number}_APIKEY={key}"
