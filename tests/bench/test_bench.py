import json
import subprocess
import sys
from pathlib import Path

from bench.sockets import measure

ROOT = Path(__file__).parents[2]


def test_the_benchmark_measures_every_figure_and_no_request_fails(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"

    ended = subprocess.run(  # noqa: S603 - the program under test
        [sys.executable, "-m", "bench", "--quick", "--only", "lb", "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    (measured,) = json.loads(figures.read_text())["lb"]
    assert measured.pop("failed") == 0
    assert all(value > 0 for value in measured.values()), measured
    assert "request after one 429 / plain" in ended.stdout


async def test_websockets_are_opened_and_talked_on() -> None:
    seen = await measure("plain", 40, 400, tls=True, usage=True)
    assert 0 < seen.kib < 1000
    assert seen.microseconds > 0
