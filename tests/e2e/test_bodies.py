"""The exam of large bodies, in short."""

import pytest
from bodies import MB, balancer, origin, parts, upload
from exam_bodies import exam


@pytest.mark.timeout(300)  # ten seconds on a machine of its own
async def test_the_exam_in_short(capsys: pytest.CaptureFixture[str]) -> None:
    await exam(large=60 * MB, middle=20 * MB, at_once=3)
    assert capsys.readouterr().out.count("SHA-256 equal") == 10


async def test_a_full_disk_costs_the_second_chance_and_nothing_else() -> None:
    form, sha = parts(20 * MB, model_last=False)
    async with origin() as one, balancer(one, LB_REPLAY_DIRECTORY="/proc") as front:
        for _ in range(3):
            status, told = await upload(front, form)
            assert (status, told["sha256"]) == (200, sha)
        (line,) = front.events("Large bodies are not kept")
        assert (line["level"], line["directory"]) == ("warning", "/proc")


async def test_a_model_that_stands_behind_all_that_is_kept_is_missed_with_words() -> None:
    form, _ = parts(40 * MB, model_last=True)
    async with origin() as one, balancer(one) as front:
        status, told = await upload(front, form)
        assert status == 400
        assert "the beginning of the body, all that is kept of one so large, has no `model`" in str(told)
    async with origin() as one, balancer(one, LB_REPLAY_MAX_BYTES="64MiB") as front:
        assert (await upload(front, form))[0] == 200
