"""Counting again off the event loop."""

import asyncio
import sys
import threading
from types import SimpleNamespace

import pytest

from lb.metering.estimate import Count
from lb.metering.usage import Usage
from lb.telemetry.tokenizer import MISSING, WAITING, Recounting, exact

BETTER = Usage(3, 4, 7, estimated=True)


async def test_it_counts_on_another_thread_and_tells_on_the_loop() -> None:
    recounting = Recounting(len)
    threads: list[threading.Thread] = []
    told: asyncio.Future[Usage | None] = asyncio.get_running_loop().create_future()

    def recount(count: Count) -> Usage:
        threads.append(threading.current_thread())
        assert count("abc") == 3
        return BETTER

    recounting(recount, told.set_result)
    assert await told == BETTER
    assert threads[0] is not threading.main_thread()
    recounting.close()


async def test_what_fails_keeps_the_rough_estimate() -> None:
    recounting = Recounting(len)
    told: asyncio.Future[Usage | None] = asyncio.get_running_loop().create_future()
    recounting(lambda count: Usage(1 // 0), told.set_result)
    assert await told is None
    recounting.close()


async def test_a_crowd_keeps_the_rough_estimate_rather_than_wait_without_end() -> None:
    recounting = Recounting(len)
    gate = threading.Event()
    told: list[Usage | None] = []
    all_of_them = asyncio.Event()

    def recount(count: Count) -> Usage:
        gate.wait(10)
        return BETTER

    def tell(usage: Usage | None) -> None:
        told.append(usage)
        if len(told) == WAITING + 10:
            all_of_them.set()

    for _ in range(WAITING + 10):
        recounting(recount, tell)
    assert told == [None] * 10
    gate.set()
    await asyncio.wait_for(all_of_them.wait(), 10)
    assert told[10:] == [BETTER] * WAITING
    recounting.close()


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bpe_openai", None)
    with pytest.raises(ImportError, match="pip install") as problem:
        exact()
    assert str(problem.value) == MISSING


def test_text_that_is_no_unicode_is_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = SimpleNamespace(encode_ordinary=lambda text: list(text.encode()))
    monkeypatch.setitem(sys.modules, "bpe_openai", SimpleNamespace(get_encoding=lambda name: encoding))
    assert exact()("a\ud800") == 2
