"""The exam of large bodies: uploads and downloads of hundreds of megabytes through the real command, what they do to
its memory, and whether every byte arrives. `make exam-bodies`; docs/bodies.md shows a run."""

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from balancer import Balancer
from bodies import MB, Watch, balancer, download, hash_of_download, origin, parts, upload, watched

KEPT = 30 * MB
"""Less than LB_REPLAY_MAX_BYTES, more than LB_REPLAY_MEMORY_BYTES."""
GROWTH_MAX = 64 * MB
PEAK_MAX = 300 * MB


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def row(what: str, watch: Watch, size: int, verdict: str) -> None:
    say(
        f"{what:<44} {watch.seconds:>6.1f} {size / MB / watch.seconds:>6.0f} {watch.before / MB:>7.0f}"
        f" {watch.peak / MB:>6.0f} {watch.growth / MB:>6.0f} {watch.slowest(0.5) * 1000:>6.1f}"
        f" {watch.slowest(0.99) * 1000:>6.1f} {max(watch.waits) * 1000:>6.0f}  {verdict}"
    )


async def many_uploads(what: str, front: Balancer, size: int, at_once: int, *, model_last: bool = False) -> Watch:
    """So many uploads at once arrive whole, and unchanged but for the model's name."""
    form, sha = parts(size, model_last=model_last)
    async with watched(front) as watch:
        answers = await asyncio.gather(*(upload(front, form) for _ in range(at_once)))
    for status, told in answers:
        assert (status, told.get("sha256")) == (200, sha), told
    row(what, watch, size * at_once, "SHA-256 equal")
    return watch


async def one_download(what: str, front: Balancer, size: int, at_once: int = 1) -> Watch:
    """What arrives is what was sent."""
    async with watched(front) as watch:
        got = await asyncio.gather(*(download(front, size) for _ in range(at_once)))
    assert set(got) == {hash_of_download(size)}
    row(what, watch, size * at_once, "SHA-256 equal")
    return watch


async def exam(large: int, middle: int, at_once: int) -> None:
    """Sizes in bytes. Raises AssertionError."""
    say(
        f"{'':<44} {'':>6} {'':>6} {'RSS':>7} {'':>6} {'':>6}  {'others wait, ms'}\n"
        f"{'':<44} {'s':>6} {'MB/s':>6} {'before':>7} {'peak':>6} {'growth':>6} {'p50':>6} {'p99':>6} {'max':>6}"
    )
    async with origin() as one, balancer(one) as front:
        await many_uploads("warming up", front, 5 * MB, 2)
        await one_download("warming up", front, 5 * MB)
        watch = await many_uploads(f"1 upload of {large // MB} MB", front, large, 1)
        assert watch.growth < GROWTH_MAX, watch.growth
        watch = await one_download(f"1 download of {large // MB} MB", front, large)
        assert watch.growth < GROWTH_MAX, watch.growth
        watch = await many_uploads(f"{at_once} uploads of {middle // MB} MB at once", front, middle, at_once)
        assert watch.peak < PEAK_MAX, watch.peak
        watch = await one_download(f"{at_once} downloads of {middle // MB} MB at once", front, middle, at_once)
        assert watch.peak < PEAK_MAX, watch.peak
        what = f"{at_once} uploads of {KEPT // MB} MB, model behind the file"
        watch = await many_uploads(what, front, KEPT, at_once, model_last=True)
        assert watch.peak < PEAK_MAX, watch.peak
    async with origin() as one, balancer(one, LB_REPLAY_DISK_BYTES="0", LB_REPLAY_MAX_BYTES="64KiB") as front:
        await many_uploads(f"{at_once} uploads of {KEPT // MB} MB, nothing is kept", front, KEPT, at_once)
    async with origin(refusals=at_once) as busy, origin() as two, balancer(busy, two) as front:
        await many_uploads(f"{at_once} x {KEPT // MB} MB, the first backend throttled", front, KEPT, at_once)
    async with origin(refusals=1) as busy, origin() as two, balancer(busy, two) as front:
        await many_uploads(f"1 x {large // MB} MB, the first backend throttled", front, large, 1)


def main() -> None:
    """Sit the exam; exit code 1 when it is not passed."""
    parser = argparse.ArgumentParser(description="The exam of large bodies.")
    parser.add_argument("--large", type=int, default=500, help="megabytes of the one upload and download (500)")
    parser.add_argument("--middle", type=int, default=200, help="megabytes of each of several (200)")
    parser.add_argument("--at-once", type=int, default=20, help="how many (20)")
    found = parser.parse_args()
    asyncio.run(exam(found.large * MB, found.middle * MB, found.at_once))
    say("passed")


if __name__ == "__main__":
    main()
