"""`lb logs` as a user runs it: real pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lines import attempt, cooled, judged

LB = [sys.executable, "-m", "lb", "logs"]
STREAM = "".join(
    json.dumps(entry) + "\n"
    for entry in (
        attempt("r1", "BACKEND_3", 1),
        judged("r1", "BACKEND_3", 1, 429, "throttled", 38),
        cooled("r1", "BACKEND_3", 7.0),
        attempt("r1", "BACKEND_1", 2),
        judged("r1", "BACKEND_1", 2, 200, "relayed", 412),
    )
)
TOLD = [
    "2026-11-21 (UTC)",
    "10:13:19.250  r1  2 attempts",
    "    429  BACKEND_3  chat  38 ms  throttled  left alone for 7 s",
    "    200  BACKEND_1  chat  412 ms",
]


def ran(stream: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LB, *arguments], input=stream, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def test_a_stream_is_told_and_foreign_lines_pass_through() -> None:
    done = ran("WARNING: something else\n" + STREAM)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["WARNING: something else", *TOLD]


def test_a_file_does_as_well_and_its_last_line_needs_no_end(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(STREAM.rstrip("\n"))
    assert ran("", str(tmp_path / "log")).stdout.splitlines() == TOLD


def test_colours_are_for_terminals() -> None:
    assert "\x1b" not in ran(STREAM).stdout
    assert "\x1b[" in ran(STREAM, "--colour").stdout


def test_a_table_over_several_lines_is_told_without_its_scaffold() -> None:
    rows = [{"TimeGenerated": "x", "Log_s": line} for line in STREAM.splitlines()]
    assert ran(json.dumps(rows, indent=2)).stdout.splitlines() == TOLD


def test_with_a_filter_foreign_lines_are_left_out() -> None:
    assert ran("something else\n" + STREAM, "--only-failovers").stdout.splitlines() == TOLD
    assert ran("something else\n" + STREAM, "--request", "r9").stdout == ""


def test_whoever_stops_reading_ends_it_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(  # noqa: S603
        LB, input=STREAM.encode() * 1000, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_line_without_end_takes_no_memory_without_end() -> None:
    done = ran("x" * 3_000_000 + "\n" + STREAM)
    assert done.stdout.splitlines()[-4:] == TOLD


@pytest.mark.parametrize("garbage", [b"\xff\xfe\x00" * 100, b"\x1b]0;title\x07"])
def test_bytes_that_are_no_text_are_shown_as_escapes(garbage: bytes) -> None:
    done = subprocess.run(LB, input=garbage + b"\n", capture_output=True, timeout=60, check=False)  # noqa: S603
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert b"\x00" not in done.stdout
