"""The feed and the real clerk, a process of its own: what arrives, what is dropped and counted, and what comes back."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from audit_facts import facts

from lb.audit import feed as feeding
from lb.audit.feed import CLOSE_SECONDS, Feed

MIB = 2**20
BODY = b'{"messages":[{"role":"user","content":"%b"}]}'


class Life:
    """A feed, what it said and what lines came back."""

    def __init__(self, most: int = 8 * MIB, **settings: Any) -> None:
        usual = {"to": "stdout", "file": "", "file_bytes": MIB, "file_count": 2, "file_daily": False, "url": None}
        usual |= {"hook": None, "field_bytes": 64 * 1024, "record_bytes": 256 * 1024, "redact": {}}
        usual |= {"connection_string": None, "client_id": None}
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.lines: list[dict[str, Any]] = []
        self.feed = Feed(usual | settings, most, self._say, self._line)
        self.full = False
        """Nobody reads stdout, and what may wait does."""

    def _line(self, line: bytes) -> bool:
        if not self.full:
            self.lines.append(json.loads(line))
        return not self.full

    def _say(self, level: str, text: str, **fields: Any) -> None:
        self.said.append((text, fields))

    def send(self, name: str, said: bytes = b"hello") -> None:
        body = BODY % said
        if self.feed.take(len(body)) and self.feed.take(1) and self.feed.take(1):
            self.feed.send(facts(name), body, [b"{", b"}"])
        else:
            self.feed.send(facts(name, content_dropped="no memory"), b"", [])

    def value(self, name: str, *labels: str) -> float:
        (row,) = [row for row in self.feed.readings()[name] if row[:-1] == list(labels)]
        return float(row[-1])

    async def until(self, so: Callable[[], bool], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while True:
                if so():
                    return
                await asyncio.sleep(0.01)

    async def written(self, count: int) -> None:
        await self.until(lambda: self.value("lb_audit_records_total", "written") == count)

    def texts(self) -> list[str]:
        return [text for text, _ in self.said]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is tested runs out of time: on a busy machine a clerk may take seconds to start."""
    monkeypatch.setattr(feeding, "CLOSE_SECONDS", 10 * CLOSE_SECONDS)


@asynccontextmanager
async def living(**settings: Any) -> AsyncIterator[Life]:
    life = Life(**settings)
    life.feed.start()
    try:
        yield life
    finally:
        await life.feed.close()


async def test_records_come_back_as_lines_for_stdout() -> None:
    async with living() as life:
        for number in range(300):
            life.send(f"r-{number}", b"x" * number)
        await life.written(300)
    assert [line["request_id"] for line in life.lines] == [f"r-{number}" for number in range(300)]
    assert life.lines[7]["prompt"] == [{"role": "user", "content": "x" * 7}]
    assert life.value("lb_audit_held_bytes") == 0
    assert not life.said


async def test_what_is_left_at_the_end_is_written(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with living(to="file", file=str(path)) as life:
        for number in range(50):
            life.send(f"r-{number}", b"y" * 20_000)
    assert len(path.read_bytes().splitlines()) == 50
    assert life.value("lb_audit_records_total", "written") == 50


async def test_prompts_of_megabytes_go_out_in_steps() -> None:
    async with living(most=64 * MIB) as life:
        for number in range(10):
            life.send(f"r-{number}", b"z" * MIB)
        await life.written(10)
    assert all(line["truncated"] for line in life.lines)


async def test_a_sink_that_takes_nothing_fills_the_queue_and_then_records_are_dropped_and_counted(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "gone"
    async with living(most=MIB, to="file", file=str(folder / "audit.jsonl")) as life:
        sent = 0
        while life.value("lb_audit_records_total", "dropped") == 0:
            life.send(f"r-{sent}", b"x" * 50_000)
            sent += 1
            assert sent < 50_000
            await asyncio.sleep(0)
        await life.until(lambda: life.value("lb_audit_up") == 0)
        assert life.feed._held <= MIB
        assert "Audit records are dropped: they come faster than they can be written" in life.texts()
        assert ("Audit records cannot be written, and wait", {"reason": life.feed._failing}) in life.said
        assert "No such file" in str(life.feed._failing)
        folder.mkdir()
        await life.until(lambda: life.value("lb_audit_up") == 1)
        dropped = life.value("lb_audit_records_total", "dropped")
        await life.written(int(sent - dropped))
        assert life.texts().count("Audit records are written again") == 1
        assert life.texts().count("Audit records are kept again") == 1
        life.send("after")
        await life.written(int(sent - dropped) + 1)


async def test_a_clerk_that_is_killed_is_replaced_and_what_it_had_is_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "FIRST_DELAY", 0.05)
    async with living() as life:
        life.feed._delay = 0.05
        life.send("one")
        await life.written(1)
        assert life.feed._clerk is not None
        killed = life.feed._clerk.pid
        os.kill(killed, signal.SIGSTOP)
        for number in range(100):
            life.send(f"lost-{number}", b"x" * 10_000)
        await life.until(lambda: life.feed._begun or life.feed._running > 0)
        os.kill(killed, signal.SIGKILL)
        await life.until(lambda: "The audit's clerk died; another is started" in life.texts())
        life.send("two")
        await life.until(lambda: any(line["request_id"] == "two" for line in life.lines))
        await life.until(lambda: life.feed._running == 0 and not life.feed._queue)
        total = life.value("lb_audit_records_total", "written") + life.value("lb_audit_records_total", "dropped")
        assert total == 102
        assert life.value("lb_audit_records_total", "dropped") > 0
    assert life.value("lb_audit_held_bytes") == 0


async def test_what_could_not_be_written_to_the_end_is_said(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "CLOSE_SECONDS", 1.5)
    async with living(to="file", file=str(tmp_path / "gone" / "audit.jsonl")) as life:
        life.send("one")
        await life.until(lambda: life.feed._failing is not None)
    assert ("Audit records were lost: they could not be written to the end", {"records": 1}) in life.said
    assert life.value("lb_audit_records_total", "dropped") == 1


async def test_a_function_that_cannot_be_loaded_is_told_and_nothing_of_content_is_kept() -> None:
    async with living(hook="no_such_module:hook") as life:
        life.send("one", b"secret")
        await life.written(1)
        (text,) = life.texts()
        assert text.startswith("The audit's hook no_such_module:hook cannot be loaded, so no content is kept")
    assert "secret" not in json.dumps(life.lines)
    assert life.lines[0]["content_dropped"] == "redaction failed: RuntimeError"
    assert life.value("lb_audit_contents_dropped_total") == 1


async def test_a_pattern_that_would_take_hours_is_ended(monkeypatch: Any) -> None:
    async with living(redact={"evil": r"(a+)+b"}) as life:
        life.send("slow", b"a" * 60)
        life.send("quick", b"aab")
        await life.written(2)
    assert life.lines[0]["content_dropped"] == "redaction failed: TookTooLong"
    assert life.lines[1]["prompt"][0]["content"] == "[evil]"


async def test_a_record_without_room_for_its_content_still_goes_out() -> None:
    async with living(most=20_000) as life:
        life.send("large", b"x" * 50_000)
        await life.written(1)
    assert life.lines[0]["content_dropped"] == "no memory"
    assert life.value("lb_audit_contents_dropped_total") == 1


async def test_a_record_that_stdout_does_not_take_is_dropped_and_not_written() -> None:
    async with living() as life:
        life.send("one")
        await life.written(1)
        life.full = True
        life.send("two")
        await life.until(lambda: life.value("lb_audit_records_total", "dropped") == 1)
        life.full = False
        life.send("three")
        await life.written(2)
    assert [line["request_id"] for line in life.lines] == ["one", "three"]


async def test_small_pieces_count_with_what_they_take_in_memory() -> None:
    life = Life(most=MIB)
    pieces = [b"piece"] * MIB
    taken = next(count for count, piece in enumerate(pieces) if not life.feed.take(len(piece)))
    assert taken == MIB // 105


async def test_a_reply_of_small_pieces_arrives_whole_and_gives_back_what_it_held() -> None:
    async with living() as life:
        said = json.dumps({"choices": [{"message": {"role": "assistant", "content": "word " * 500}}]}).encode()
        pieces = [said[start : start + 3] for start in range(0, len(said), 3)] + [b""]
        assert life.feed.take(0)
        assert all(life.feed.take(len(piece)) for piece in pieces)
        life.feed.send(facts("one"), b"", pieces)
        assert len(life.feed._queue) == 2
        await life.written(1)
        assert life.value("lb_audit_held_bytes") == 0
    assert life.lines[0]["response"][0]["content"] == "word " * 500


async def test_no_room_for_the_facts_gives_back_what_the_content_held() -> None:
    life = Life(most=1300)
    assert life.feed.take(500)
    assert life.feed.take(400)
    life.feed.send(facts("one"), b"x" * 500, [b"y" * 400])
    assert life.value("lb_audit_held_bytes") == 0
    assert life.value("lb_audit_records_total", "dropped") == 1


STAYING = """
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
def hook(record):
    return record
"""


async def test_a_thread_of_the_operators_function_does_not_keep_the_clerk(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "staying_hook.py").write_text(STAYING)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    async with living(hook="staying_hook:hook") as life:
        life.send("one")
        await life.written(1)
        clerk = life.feed._clerk
        assert clerk is not None
        async with asyncio.timeout(30):
            await life.feed.close()
        assert clerk.returncode == 0


async def test_a_clerk_without_a_socket_that_lives_on_is_killed(monkeypatch: Any) -> None:
    monkeypatch.setattr(feeding, "EXIT_SECONDS", 0.1)
    async with living() as life:
        life.send("one")
        await life.written(1)
        clerk = life.feed._clerk
        assert clerk is not None
        os.kill(clerk.pid, signal.SIGSTOP)
        life.feed._part()  # as if its socket had been closed
        async with asyncio.timeout(30):
            await life.feed.close()
        assert clerk.returncode == -signal.SIGKILL
