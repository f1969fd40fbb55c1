"""An operator acts on the real command: one process and several."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asks import ask, client
from balancer import Balancer, backends

from lb.sim import Simulator

KEY = {"authorization": "Bearer k-of-ada", "x-lb-action": "1"}


async def act(balancer: Balancer, headers: dict[str, str] = KEY, **said: Any) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{balancer.admin}/page/actions", json=said, headers=headers) as reply,
    ):
        return reply.status


async def shown(balancer: Balancer, name: str, **wanted: Any) -> None:
    """Wait until the operator listener shows it: of a worker that is busy it shows what that last said."""
    async with asyncio.timeout(30):
        while not any(row["name"] == name and wanted.items() <= row.items() for row in await rows(balancer)):
            pass


async def rows(balancer: Balancer) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(headers=KEY) as session, session.get(f"{balancer.admin}/status") as reply:
        return (await reply.json())["backends"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_backend_is_taken_out_and_put_back_everywhere(three: list[Simulator], workers: str) -> None:
    settings = {"LB_ADMIN_KEYS": "ada:k-of-ada", "LB_WORKERS": workers}
    async with Balancer(**backends(*three[:2], **settings)) as balancer, client(balancer, "any") as sdk:
        await asyncio.gather(*[ask(sdk) for _ in range(40)])
        assert await act(balancer, do="take-out", backend="BACKEND_1") == 200
        await shown(balancer, "BACKEND_1", out=True)
        assert await act(balancer, do="take-out", backend="BACKEND_1") == 409
        before = len(three[0].received)
        assert set(await asyncio.gather(*[ask(sdk) for _ in range(40)])) == {200}
        assert len(three[0].received) == before
        assert {(row["name"], row["out"]) for row in await rows(balancer)} == {
            ("BACKEND_1", True),
            ("BACKEND_2", False),
        }

        assert await act(balancer, do="take-out", backend="BACKEND_2") == 200
        assert await ask(sdk) == 503
        await shown(balancer, "BACKEND_1", out=True)
        assert await act(balancer, do="put-back", backend="BACKEND_1") == 200
        assert set(await asyncio.gather(*[ask(sdk) for _ in range(10)])) == {200}
        assert len(three[0].received) == before + 10
        await balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` put back by ada")
        told = [line["event"] for line in balancer.events("Destination")]
    assert told == [
        "Destination `BACKEND_1` taken out by ada",
        "Destination `BACKEND_2` taken out by ada",
        "Destination `BACKEND_1` put back by ada",
    ]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_cooldown_is_ended_everywhere(three: list[Simulator], workers: str) -> None:
    three[0].faults.add("chat=429:60*1")
    settings = {"LB_WORKERS": workers, "BACKEND_2_PRIORITY": "2"}
    loopback = {"x-lb-action": "1"}
    async with Balancer(**backends(*three[:2], **settings)) as balancer, client(balancer, "any") as sdk:
        assert await ask(sdk) == 200
        assert len(three[0].received) == 1
        await shown(balancer, "BACKEND_1", state="cooling")
        assert await act(balancer, loopback, do="end-cooldown", backend="BACKEND_1", deployment="chat") == 200
        assert {await ask(sdk) for _ in range(10)} == {200}
        assert len(three[0].received) == 11
        await shown(balancer, "BACKEND_1", deployment="chat", seconds_left=0)
        assert await act(balancer, loopback, do="end-cooldown", backend="BACKEND_1", deployment="chat") == 409
        await balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` is available again")
        assert balancer.events("Cooldown of")[0]["event"] == "Cooldown of `BACKEND_1` ended by loopback"


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_an_operators_key_is_taken_away_by_a_reload(three: list[Simulator], workers: str, tmp_path: Path) -> None:
    file = tmp_path / "lb.yaml"
    file.write_text("operators: [{name: ada, keys: [k-of-ada]}]\n")
    settings = {"LB_CONFIG": str(file), "LB_WORKERS": workers}
    async with Balancer(**backends(three[0], **settings)) as balancer:
        assert await act(balancer, do="take-out", backend="BACKEND_1") == 200
        file.write_text("operators: [{name: bob, keys: [k-of-bob]}]\n")
        await balancer.line(lambda line: line["event"] == "Configuration reloaded")
        async with asyncio.timeout(30):
            while await act(balancer, do="put-back", backend="BACKEND_1") != 401:
                pass  # the office hears of it a moment after the supervisor
        bob = {**KEY, "authorization": "Bearer k-of-bob"}
        assert await act(balancer, bob, do="take-out", backend="BACKEND_1") in (200, 409)


async def test_what_lives_on_a_backend_that_is_out_is_there_again_once_it_is_back(three: list[Simulator]) -> None:
    loopback = {"x-lb-action": "1"}
    async with Balancer(**backends(*three[:2])) as balancer, aiohttp.ClientSession() as session:
        responses = f"{balancer.url}/openai/v1/responses"
        async with session.post(responses, json={"model": "chat", "input": "hello"}) as reply:
            owner, made = reply.headers["x-lb-backend"], (await reply.json())["id"]
        for do, wanted in (("take-out", 503), ("put-back", 200)):
            assert await act(balancer, loopback, do=do, backend=owner) == 200
            async with session.get(f"{responses}/{made}") as reply:
                assert reply.status == wanted, await reply.text()
