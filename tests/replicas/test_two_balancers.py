"""Two balancers and one Redis, as a user starts them."""

import asyncio

import aiohttp
import redis.asyncio as redis_py
from asks import ask, client
from balancer import Balancer, backends
from redis_server import Server

from lb.sim import Simulator

TENANTS = "tenants: [{name: ada, requests_per_minute: 20}]"


async def even_parts(server: Server) -> None:
    """Until Redis has told both replicas an even part, and each has come again, so that it has heard that."""
    redis = redis_py.Redis.from_url(server.url, decode_responses=True)
    first: dict[str, str] | None = None
    async with redis, asyncio.timeout(30):
        while True:
            (key,) = await redis.keys("lb:budget:*")
            fields = (await redis.hgetall(key)).items()
            found = {name: told.split() for name, told in fields if name not in ("born", "pressed")}
            if sorted(cap for cap, *_ in found.values()) == ["10", "10"]:
                seen = {name: each[2] for name, each in found.items()}
                first = first or seen
                if all(first.get(name) != at for name, at in seen.items()):
                    return
            await asyncio.sleep(0.05)


async def pins(balancer: Balancer) -> float:
    """Of how many objects it knows the place."""
    shown = await balancer.metrics()
    return float(shown.partition("\nlb_pins ")[2].partition("\n")[0])


async def test_two_balancers_share_a_budget_and_go_on_without_redis_and_with_it_again(server: Server) -> None:
    async with Simulator() as one:
        settings = backends(
            one, LB_CLIENT_KEYS="ada:key-a", LB_CONFIG_INLINE=TENANTS, LB_REDIS_URL=server.url, LB_EXPLAIN="true"
        )
        async with Balancer(**settings) as left, Balancer(**settings) as right:
            async with client(left, "key-a") as to_left, client(right, "key-a") as to_right:
                for balancer in (left, right):
                    await balancer.line(lambda line: line["event"] == "Replicas agree through Redis")
                await even_parts(server)
                found = await asyncio.gather(*[ask(sdk) for sdk in (to_left, to_right) for _ in range(30)])
                assert found.count(200) == 20
                assert found.count(429) == 40
                await server.kill()
                for balancer in (left, right):
                    await balancer.line(lambda line: line["event"].startswith("Redis cannot be reached"))
                assert await ask(to_left) == 429
            async with aiohttp.ClientSession() as session, session.get(f"{left.admin}/metrics") as reply:
                metrics = await reply.text()
            assert "lb_redis_up 0.0" in metrics
            assert "lb_redis_losses_total 1.0" in metrics
            served = [(await each.status())["requests"]["outcomes"]["relayed"] for each in (left, right)]
            assert sum(served) == 20
            await server.start()
            for balancer in (left, right):
                await balancer.line(lambda line: line["event"] == "Redis is back")
            async with client(left, "key-a") as to_left, client(right, "key-a") as to_right:
                found = await asyncio.gather(*[ask(sdk) for sdk in (to_left, to_right) for _ in range(15)])
                assert 20 + found.count(200) < 40, "less than twice the limit in a minute in which Redis was lost"


async def test_what_one_balancer_has_made_is_known_to_the_other_and_to_no_other_tenant(server: Server) -> None:
    async with Simulator() as one, Simulator() as two:
        keys = {"LB_CLIENT_KEYS": "ada:key-a,bob:key-b", "LB_REDIS_URL": server.url, "LB_POLICY": "round-robin"}
        settings = backends(one, two, **keys)
        async with Balancer(**settings) as left, Balancer(**settings) as right, aiohttp.ClientSession() as session:
            for balancer in (left, right):
                await balancer.line(lambda line: line["event"] == "Replicas agree through Redis")
            url, ada, bob = "{}/openai/v1/responses{}", {"api-key": "key-a"}, {"api-key": "key-b"}
            names = []
            for _ in range(6):
                asked = {"model": "chat", "input": "hi"}
                async with session.post(url.format(left.url, ""), json=asked, headers=ada) as reply:
                    names.append((await reply.json())["id"])
            async with asyncio.timeout(30):
                while await pins(right) < await pins(left):
                    pass
            for name in names:
                async with session.get(url.format(right.url, f"/{name}"), headers=ada) as reply:
                    assert (reply.status, reply.headers["x-lb-attempts"]) == (200, "1")
                async with session.get(url.format(right.url, f"/{name}"), headers=bob) as reply:
                    assert reply.status == 404
                    assert "x-lb-backend" not in reply.headers
