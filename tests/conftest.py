"""What several rooms' tests need."""

import asyncio
import gc
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings

from lb.build import COMPILED

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")  # how long an example takes says more of the machine's other users than of the code


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that hung: where each of its tasks waits. The traceback only shows the event loop."""
    report = yield
    if call.excinfo is not None and str(call.excinfo.value).startswith("Timeout"):
        tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
        report.sections += [(task.get_name(), "\n".join(_places(task.get_coro()))) for task in tasks]
    return report


def _places(awaited: Any) -> Iterator[str]:
    """From the coroutine to the innermost thing that it awaits."""
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        yield f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        awaited = awaited.cr_await
    yield repr(awaited)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A compiled class does not let a test put another method into its place, so those that do are run by `make test`
    only, which has the same lines as source."""
    if COMPILED:
        for item in items:
            if item.get_closest_marker("interpreted"):
                item.add_marker(pytest.mark.skip(reason="reaches into a class that is compiled"))


_NOTHING_SENT = SimpleNamespace(output_size=0)


class _Response(ClientResponse):
    """aiohttp 3.14 made `stream_writer` a required argument of `ClientResponse`, and aioresponses 0.7.9, the newest,
    does not know of it. All that is read of it is how much was sent."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"stream_writer": _NOTHING_SENT, **kwargs})


class Answers(aioresponses):  # type: ignore[misc]  # it comes without types
    """aioresponses for the aiohttp that is installed; `response_class` is the hook that it has for that."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        super().add(*args, **{"response_class": _Response, **kwargs})


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Made-up answers to aiohttp's client, for code that really uses it: probes, tokens, keys."""
    with Answers() as made_up:
        yield made_up
