"""What several rooms' tests need."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import ClientResponse
from aioresponses import aioresponses
from hypothesis import HealthCheck, settings

settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")  # how long an example takes says more of the machine's other users than of the code

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
