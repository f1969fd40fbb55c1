"""Two balancers and one Redis, as a user starts them."""

import asyncio

import aiohttp
from asks import ask, client
from balancer import Balancer, backends
from redis_server import Server

from lb.sim import Simulator

TENANTS = "tenants: [{name: ada, requests_per_minute: 20}]"


async def test_two_balancers_share_a_budget_and_go_on_without_redis(server: Server) -> None:
    async with Simulator() as one:
        settings = backends(
            one, LB_CLIENT_KEYS="ada:key-a", LB_CONFIG_INLINE=TENANTS, LB_REDIS_URL=server.url, LB_EXPLAIN="true"
        )
        async with Balancer(**settings) as left, Balancer(**settings) as right:
            async with client(left, "key-a") as to_left, client(right, "key-a") as to_right:
                for balancer in (left, right):
                    await balancer.line(lambda line: line["event"] == "Replicas agree through Redis")
                await asyncio.sleep(0.6)  # two rounds: each knows of the other
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
            status = await left.status()
            assert status["requests"]["outcomes"]["relayed"] == 10
