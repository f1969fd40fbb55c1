"""The page in a real browser, while endpoints fail. `make test-page` runs this; it is no part of `make test`.

Times are those that a person would see: the page and `/status` are asked at the same moment.
"""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Page, expect

sys.path.insert(0, str(Path(__file__).parent))

from axe_playwright_python.async_playwright import Axe
from stage import World, opened, world

SOON = 1000
"""Milliseconds within which the page has to show what is so."""


@asynccontextmanager
async def shown(*limits: int, **more: Any) -> AsyncIterator[tuple[World, Page]]:
    look = {name: more.pop(name) for name in ("width", "height", "scheme") if name in more}
    async with world(*limits, **more) as stage, opened(stage, **look) as page:
        await page.wait_for_selector("article")
        yield stage, page


def card(page: Page, name: str) -> Any:
    return page.locator("article").filter(has=page.get_by_role("heading", name=name, exact=True))


def state(page: Page, name: str, deployment: str = "chat") -> Any:
    return card(page, name).get_by_role("row").filter(has_text=deployment).locator(".state")


async def row(stage: World, name: str, deployment: str = "chat") -> dict[str, Any]:
    status = await stage.balancer.status()
    return next(row for row in status["backends"] if (row["name"], row["deployment"]) == (name, deployment))


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - another process tells only who asks
            await asyncio.sleep(0.05)


async def test_a_cooldown_is_shown_within_a_second_and_counts_down_with_the_health_table() -> None:
    async with shown(BACKEND_2_PRIORITY="2") as (stage, page):
        stage.simulators[0].faults.add("chat=429:6*1")
        assert await stage.ask() == 200
        await expect(state(page, "BACKEND_1")).to_contain_text("cooling", timeout=SOON)
        for _ in range(4):
            text, (left) = (
                await state(page, "BACKEND_1").text_content(),
                (await row(stage, "BACKEND_1"))["seconds_left"],
            )
            seconds = int(re.findall(r"cooling (\d+) s", text)[0])
            assert left - 1 <= seconds <= left + 2, (text, left)
            await asyncio.sleep(0.7)
        await until(lambda: _is(stage, "returning"))
        await expect(state(page, "BACKEND_1")).to_contain_text("returning", timeout=SOON)
        assert await stage.ask() == 200
        await expect(state(page, "BACKEND_1")).to_contain_text("available", timeout=SOON)


async def _is(stage: World, wanted: str) -> bool:
    return bool((await row(stage, "BACKEND_1"))["state"] == wanted)


async def test_the_last_requests_tell_the_story_of_a_failover() -> None:
    async with shown() as (stage, page):
        stage.simulators[0].faults.add("chat=429:7*1")
        await stage.ask()
        story = page.locator("#recent tr").first.locator("ol")
        await expect(story).to_contain_text("429 BACKEND_1", timeout=SOON)
        text = " ".join((await story.inner_text()).split())
        assert re.fullmatch(
            r"429 BACKEND_1 asked for 7 s 200 BACKEND_2 \d+ ms", text.replace("asked for7", "asked for 7")
        )
        await stage.ask("embedding", "key-2")
        await expect(page.locator("#recent tr")).to_have_count(2, timeout=SOON)
        await page.get_by_label("only failovers and failures").check()
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)
        await page.get_by_label("only failovers and failures").uncheck()
        await page.locator("#by-tenant").select_option("indexer")
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)
        await expect(page.locator("#budgets tr")).to_have_count(2)
        await page.locator("#by-backend").select_option("BACKEND_3")
        await expect(page.locator("article")).to_have_count(1)


async def test_an_action_is_asked_twice_and_takes_effect() -> None:
    async with shown() as (stage, page):
        await stage.ask()
        button = card(page, "BACKEND_1").get_by_role("button", name="Take out")
        dialog = page.get_by_role("dialog")
        await button.click()
        await expect(dialog).to_contain_text("gets nothing new until somebody puts it back")
        await dialog.get_by_role("button", name="Cancel").click()
        await expect(dialog).to_be_hidden()
        assert not (await row(stage, "BACKEND_1"))["out"]
        await button.click()
        await dialog.get_by_role("button", name="Take out").click()
        await expect(card(page, "BACKEND_1")).to_contain_text("TAKEN OUT", timeout=SOON)
        before = len(stage.simulators[0].received)
        for _ in range(5):
            assert await stage.ask() == 200
        assert len(stage.simulators[0].received) == before
        await card(page, "BACKEND_1").get_by_role("button", name="Put back").click()
        await dialog.get_by_role("button", name="Put back").click()
        await expect(card(page, "BACKEND_1")).not_to_contain_text("TAKEN OUT", timeout=SOON)
        await stage.balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` put back by loopback")


async def test_a_cooldown_is_ended() -> None:
    async with shown(BACKEND_2_PRIORITY="2") as (stage, page):
        stage.simulators[0].faults.add("chat=429:60*1")
        await stage.ask()
        await card(page, "BACKEND_1").get_by_role("button", name="End what keeps BACKEND_1 chat away").click()
        await page.get_by_role("dialog").get_by_role("button", name="End it").click()
        await expect(state(page, "BACKEND_1")).to_contain_text("returning", timeout=SOON)
        await stage.ask()
        await expect(state(page, "BACKEND_1")).to_contain_text("available", timeout=SOON)


async def test_what_cannot_be_done_is_told_in_the_dialog() -> None:
    async with shown() as (stage, page):
        await card(page, "BACKEND_1").get_by_role("button", name="Take out").click()
        await _act(stage, {"do": "take-out", "backend": "BACKEND_1"})
        await page.get_by_role("dialog").get_by_role("button", name="Take out").click()
        await expect(page.get_by_role("alert")).to_contain_text("it is so already")


async def _act(stage: World, said: dict[str, str]) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stage.admin}/page/actions", json=said, headers={"x-lb-action": "1"}) as reply,
    ):
        assert reply.status == 200


async def test_a_stranger_gets_nothing_and_an_operator_signs_in_and_out() -> None:
    async with world(LB_ADMIN_KEYS="ada:a-long-key") as stage, opened(stage) as page:
        await expect(page.get_by_label("Operator's key")).to_be_visible()
        assert "BACKEND" not in await page.content()
        for path in ("status", "metrics", "page/events", "page/me"):
            assert (await page.request.get(f"{stage.admin}/{path}")).status == 401
        denied = await page.request.post(
            f"{stage.admin}/page/actions",
            data={"do": "take-out", "backend": "BACKEND_1"},
            headers={"x-lb-action": "1"},
        )
        assert denied.status == 401
        await page.get_by_label("Operator's key").fill("a guess")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_have_text("This is no operator's key.")
        await page.get_by_label("Operator's key").fill("a-long-key")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#who")).to_have_text("ada")
        await card(page, "BACKEND_1").get_by_role("button", name="Take out").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take out").click()
        await expect(card(page, "BACKEND_1")).to_contain_text("TAKEN OUT", timeout=SOON)
        await stage.balancer.line(lambda line: line["event"] == "Destination `BACKEND_1` taken out by ada")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Operator's key")).to_be_visible()
        assert (await page.request.get(f"{stage.admin}/page/me")).status == 401


async def test_after_a_restart_the_page_is_right_again() -> None:
    async with shown(LB_ADMIN_PORT="0") as (stage, page):
        await stage.ask()
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)
        port = stage.admin.rsplit(":", 1)[1]
        await stage.balancer.__aexit__(None, None, None)
        await expect(page.locator("#link")).to_contain_text("no connection", timeout=5000)
        stage.balancer.settings["LB_ADMIN_PORT"] = port
        stage.balancer.lines.clear()
        await stage.balancer.__aenter__()
        await expect(page.locator("#link")).to_have_text("live", timeout=10_000)
        await expect(page.locator("#recent tr")).to_have_count(0, timeout=SOON)
        await stage.ask()
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)


async def test_with_several_workers_it_is_the_same_page() -> None:
    async with shown(LB_WORKERS="2") as (stage, page):
        stage.simulators[0].faults.add("chat=429:20*1")
        assert await stage.ask() == 200
        await expect(state(page, "BACKEND_1")).to_contain_text("cooling", timeout=SOON)
        await expect(page.locator("#totals")).to_contain_text("2 workers")
        await card(page, "BACKEND_2").get_by_role("button", name="Take out").click()
        await page.get_by_role("dialog").get_by_role("button", name="Take out").click()
        await expect(card(page, "BACKEND_2")).to_contain_text("TAKEN OUT", timeout=SOON)


async def test_the_keyboard_is_enough_and_focus_comes_back() -> None:
    async with shown() as (stage, page):
        await page.keyboard.press("Tab")
        await expect(page.get_by_role("link", name="To the backends")).to_be_focused()
        button = card(page, "BACKEND_1").get_by_role("button", name="Take out")
        await button.focus()
        await asyncio.sleep(1.2)  # two events have been drawn meanwhile
        await expect(button).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_role("button", name="Cancel")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(button).to_be_focused()
        await page.get_by_role("button", name="Pause").press("Space")
        await expect(page.locator("#link")).to_have_text("paused")
        await stage.ask()
        await asyncio.sleep(1.2)
        await expect(page.locator("#recent tr")).to_have_count(0)
        await page.get_by_role("button", name="Pause").press("Space")
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)


async def test_a_change_is_announced_once_and_nothing_else_is() -> None:
    async with shown() as (stage, page):
        await stage.ask()
        await expect(page.locator("#recent tr")).to_have_count(1, timeout=SOON)
        stage.simulators[1].faults.add("chat=429:30")
        stage.simulators[0].faults.add("chat=429:30*1")
        await stage.ask()
        await expect(page.locator("#news")).to_contain_text("BACKEND_1 chat is cooling", timeout=SOON)


@pytest.mark.parametrize("width", [360, 800, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_no_serious_fault_and_nothing_sticks_out(width: int, scheme: str) -> None:
    async with shown(900, 900, 0, width=width, scheme=scheme) as (stage, page):
        stage.simulators[1].faults.add("embedding=500")
        traffic = asyncio.create_task(stage.traffic(0.01))
        await until(lambda: _has(page, ".cooling"), 20)
        await until(lambda: _has(page, ".ejected"), 20)
        await _is_sane(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        await card(page, "BACKEND_1").get_by_role("button", name="Take out").click()
        await _is_sane(page)
        await page.get_by_role("dialog").get_by_role("button", name="Take out").click()
        await expect(card(page, "BACKEND_1")).to_contain_text("TAKEN OUT")
        await _is_sane(page)
        traffic.cancel()


async def test_axe_finds_no_serious_fault_in_the_form() -> None:
    for scheme in ("light", "dark"):
        async with world(LB_ADMIN_KEYS="ada:a-long-key") as stage, opened(stage, scheme=scheme) as page:
            await page.get_by_role("button", name="Sign in").click()
            await _is_sane(page)


async def _has(page: Page, what: str) -> bool:
    return await page.locator(what).count() > 0


async def _is_sane(page: Page) -> None:
    found = (await Axe().run(page)).response["violations"]
    serious = [
        (fault["id"], fault["help"], [node["html"] for node in fault["nodes"]][:3])
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
