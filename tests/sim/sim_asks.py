"""What the tests of the simulator share: a request, a date, and a clock that only moves when told to."""

import asyncio

TODAY = 1_795_000_000.25

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}


class VirtualClock:
    """Time that passes only by waiting, and then at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
