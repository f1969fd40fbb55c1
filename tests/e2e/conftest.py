"""Three simulated endpoints and the real command in front of them."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lb.sim import Settings, Simulator


@pytest.fixture
async def three() -> AsyncIterator[list[Simulator]]:
    """Endpoints without limits."""
    simulators = [Simulator(Settings(name=f"openai{number}")) for number in (1, 2, 3)]
    for simulator in simulators:
        await simulator.start()
    yield simulators
    for simulator in simulators:
        await simulator.stop()
