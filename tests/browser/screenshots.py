"""Pictures of the page for the documents: `make screenshots`.

The endpoints are throttled ones, and one of them fails for a deployment.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from playwright.async_api import Page
from stage import opened, world

SECONDS = 30
"""Of traffic before the first picture, so that the charts have something to show."""


async def main(folder: Path) -> None:
    """Wide and light, narrow and dark, in between with the question, and the form."""
    async with world(500, 900, 0, latency="0.05-0.4", LB_ADMIN_KEYS="ada:a-long-key") as stage:
        stage.simulators[1].faults.add("embedding=500")
        traffic = [asyncio.create_task(stage.traffic(0.1, seed)) for seed in range(6)]
        await asyncio.sleep(SECONDS)
        async with opened(stage, 1280, 1000) as page:
            await page.screenshot(path=folder / "sign-in.png", clip={"x": 320, "y": 100, "width": 640, "height": 420})
            await _sign_in(page)
            await _settled(page)
            await page.screenshot(path=folder / "page-wide.png")
            await page.get_by_label("only failovers and failures").check()
            await page.locator("#requests").scroll_into_view_if_needed()
            box = await page.locator("section[aria-labelledby=requests]").bounding_box()
            assert box is not None
            await page.screenshot(path=folder / "failovers.png", clip={**box, "height": min(box["height"], 420)})
        async with opened(stage, 390, 844, "dark") as page:
            await _sign_in(page)
            await _settled(page)
            await page.screenshot(path=folder / "page-narrow.png")
        async with opened(stage, 820, 760) as page:
            await _sign_in(page)
            await _settled(page)
            await page.get_by_role("button", name="Take out: BACKEND_2").click()
            await page.screenshot(path=folder / "page-take-out.png")
        for task in traffic:
            task.cancel()


async def _sign_in(page: Page) -> None:
    await page.get_by_label("Operator's key").fill("a-long-key")
    await page.get_by_role("button", name="Sign in").click()


async def _settled(page: Page) -> None:
    """A moment at which something is cooling."""
    await page.wait_for_selector(".state.cooling")


if __name__ == "__main__":
    images = Path(sys.argv[1])
    images.mkdir(exist_ok=True)
    asyncio.run(main(images))
