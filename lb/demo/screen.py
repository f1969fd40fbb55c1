"""Two ways to watch: a picture that is drawn over and over, and plain lines where there is no terminal for that."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lb.demo.journal import IN_STREAM, Line
from lb.demo.plan import NAMES
from lb.demo.score import Score
from lb.display import backends_table

NARROWEST = 80
LOG_LINES = 8
OTHER_LINES = 10
"""Lines of the picture beside the table's rows and the log."""
COLOURS = dict(zip(NAMES, ("cyan", "magenta", "blue"), strict=True))
NOTE_STYLES = {"200": "green", "429": "yellow", IN_STREAM: "yellow"}
PLAIN_SECONDS = 2.0
"""Between two lines of progress where only lines are shown."""


@dataclass(slots=True)
class Scene:
    """What there is to be seen now."""

    phase: str = "starting"
    url: str = ""
    seconds: float = 0.0
    """Of sending, so far."""
    of: float = 1.0
    status: dict[str, Any] | None = None
    score: Score = field(default_factory=Score)
    log_lines: int = 0
    """That the balancer wrote, shown or not."""


class Screen(Protocol):
    """Use as `with`."""

    def __enter__(self) -> "Screen": ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def told(self, lines: Sequence[Line]) -> None:
        """Lines of the log came."""

    def draw(self, scene: Scene) -> None:
        """Time went by."""


def screen(console: Console) -> Screen:
    """The one that fits the terminal."""
    live = console.is_terminal and not console.is_dumb_terminal and console.color_system and console.width >= NARROWEST
    return LiveScreen(console) if live else PlainScreen(console)


class PlainScreen:
    """Lines of the log, and now and then a line of progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase = ""
        self._next = 0.0

    def __enter__(self) -> "PlainScreen":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def told(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._say(line.text + (f"  [{line.note}]" if line.note else ""))

    def draw(self, scene: Scene) -> None:
        if scene.phase != self._phase:
            self._phase, self._next = scene.phase, PLAIN_SECONDS
            self._say(f"-- {scene.phase}")
        elif scene.seconds >= self._next:
            self._next = scene.seconds + PLAIN_SECONDS
            self._say(f"-- {scene.seconds:.0f} s: {counts(scene.score)}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._console.file.flush()


class LiveScreen:
    """The picture."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._log: deque[Line] = deque(maxlen=LOG_LINES)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def __enter__(self) -> "LiveScreen":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def told(self, lines: Sequence[Line]) -> None:
        self._log.extend(lines)

    def draw(self, scene: Scene) -> None:
        self._live.update(self._picture(scene), refresh=True)

    def _picture(self, scene: Scene) -> RenderableType:
        parts: list[RenderableType] = [_header(scene), _progress(scene), ""]
        rows = 0
        if scene.status is not None:
            rows = len(scene.status["backends"])
            parts.extend([backends_table(scene.status, width=self._console.width, names=NAMES), ""])
        room = max(2, min(LOG_LINES, self._console.height - OTHER_LINES - rows))
        return Group(*parts, self._log_panel(scene, room), Text(counts(scene.score), style="bold"))

    def _log_panel(self, scene: Scene, room: int) -> Panel:
        table = Table.grid(padding=(0, 1), expand=True)
        for width in (7, 9):
            table.add_column(min_width=width, no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for line in list(self._log)[-room:]:
            table.add_row(*_cells(line))
        for _ in range(room - len(self._log)):
            table.add_row("", "", "")
        title = f"the balancer's log, a sample of its {scene.log_lines:,} lines"
        return Panel(table, title=title, title_align="left", border_style="dim", padding=(0, 1))


def _cells(line: Line) -> tuple[Text, Text, Text]:
    name = Text(NAMES.get(line.backend or "", ""), style=COLOURS.get(line.backend or "", ""))
    note = Text(line.note, style=NOTE_STYLES.get(line.note, "yellow" if line.level == "warning" else ""))
    text = Text(line.text, style={"info": "", "warning": "yellow"}.get(line.level, "red"))
    return name, note, text


def _header(scene: Scene) -> Text:
    header = Text("lb demo", style="bold")
    if scene.url:
        header += Text(f"  openai1, openai2, openai3 behind {scene.url}", style="default not bold")
    return header


def _progress(scene: Scene) -> Table:
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=scene.of, completed=min(scene.seconds, scene.of), width=40)
    table.add_row(bar, Text(f"{scene.phase}, {scene.seconds:.0f} of {scene.of:.0f} s"))
    return table


def counts(score: Score) -> str:
    """The running totals in one line."""
    return (
        f"{score.answered:,} requests answered, {score.absorbed:,} 429s absorbed, "
        f"{len(score.complaints):,} errors seen by the client"
    )
