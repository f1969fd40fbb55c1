"""What remains: the final table, the judgement, and what to point a client at."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lb.demo.latency import Latency
from lb.demo.plan import API_VERSION, KEY, NAMES
from lb.demo.score import Score
from lb.display import share_bar

BARS_FROM = 70
MOST_WRONGS = 8


def final_table(score: Score, latency: Latency | None, width: int) -> Table:
    """The figures of the run."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False, title="Result", title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in score.whole.most_common())
    table.add_row("requests", f"{score.started:,}", Text(kinds, style="dim"))
    table.add_row("429s absorbed", Text(f"{score.absorbed:,}", style="yellow"), "")
    wrong = len(score.complaints)
    table.add_row("errors the client saw", Text(f"{wrong:,}", style="bold red" if wrong else "bold green"), "")
    total = score.backends.total() or 1
    for backend, name in NAMES.items():
        share = score.backends[backend] / total
        table.add_row(f"share of {name}", f"{share:.0%}", share_bar(share) if width >= BARS_FROM else "")
    added = f"{_ms(latency.p50)} / {_ms(latency.p99)} ms" if latency else "not measured"
    table.add_row("added latency p50/p99", added, "")
    return table


def how_measured(latency: Latency | None) -> str:
    """Where the latency figures come from, so that nobody has to believe them."""
    if latency is None:
        return "Added latency was not measured: the machine was too busy for enough requests in the time left."
    return (
        f"Added latency: after the load, {latency.rounds} rounds on a deployment that was idle, one request at a time "
        "on open connections, each round once through the balancer and twice straight to openai1, in changing order; "
        "the figures are quantiles of (balanced - direct). The two direct requests of a round differ by "
        f"{_ms(latency.noise_p99)} ms at p99: that much is this machine's noise."
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def judgement(score: Score, wrongs: Sequence[str]) -> Text:
    """The last word."""
    if wrongs:
        shown = "\n".join(f"  - {wrong}" for wrong in wrongs[:MOST_WRONGS])
        more = f"\n  and {len(wrongs) - MOST_WRONGS} other kinds" if len(wrongs) > MOST_WRONGS else ""
        return Text(f"The balancer let through what it should have absorbed:\n{shown}{more}", style="bold red")
    if not score.absorbed:
        return Text("No error, but no 429 either: this machine was too slow to overrun openai1.", style="yellow")
    return Text(f"The endpoints refused {score.absorbed:,} times and the client never noticed.", style="bold green")


def how_to_use(url: str, admin: str, key: str = KEY) -> str:
    """What to put into a client's environment."""
    chat = '{"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}'
    return f"""
It all stays up until Ctrl-C. Point any client at it:

  export OPENAI_BASE_URL={url}/openai/v1 OPENAI_API_KEY={key}
  export AZURE_OPENAI_ENDPOINT={url} AZURE_OPENAI_API_KEY={key} OPENAI_API_VERSION={API_VERSION}

  curl {url}/openai/v1/chat/completions -H 'api-key: {key}' -H 'content-type: application/json' -d '{chat}'

  lb status {admin}     # or open that address in a browser
"""


def present_result(console: Console, score: Score, latency: Latency | None, wrongs: Sequence[str]) -> None:
    """Print all of it."""
    console.print(final_table(score, latency, console.width), highlight=False)
    console.print(how_measured(latency), style="dim", highlight=False)
    console.print(judgement(score, wrongs), highlight=False)
