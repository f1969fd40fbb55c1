"""When this machine is short of files or ports no backend is to blame, and the client is told to come again."""

import json

from fakes import Story, failure, ok, throttled
from virtual import in_virtual_time

from lb.events import Ejected, Outcome
from lb.exchange import Blame

SHORT = failure(Blame.OURS, "no more files can be opened here")


@in_virtual_time
async def test_our_own_shortage_ejects_nobody_and_spends_no_budget() -> None:
    story = Story({"a": [SHORT], "b": [SHORT]})
    for _ in range(20):
        client = await story.ask()
        assert client.status == 503
        assert client.headers[b"retry-after"] == b"1"
        error = json.loads(client.body)["error"]
        assert error["code"] == "ServerBusy"
        assert "Tried a: no more files can be opened here; b: no more files" in error["message"]
    assert not story.told(Ejected)
    assert story.asked == ["a", "b"] * 20, "each of them is still asked"
    assert set(story.verdicts) == {("a", "unsent"), ("b", "unsent")}
    story.at_rest()


@in_virtual_time
async def test_another_backend_may_still_be_reached() -> None:
    story = Story({"a": [SHORT], "b": [ok()]})
    assert (await story.ask()).status == 200
    assert story.finished.outcome is Outcome.RELAYED
    assert story.verdicts == [("a", "unsent"), ("b", "relayed")]


@in_virtual_time
async def test_throttling_elsewhere_is_told_first() -> None:
    story = Story({"a": [SHORT], "b": [throttled(7)]})
    client = await story.ask()
    assert (client.status, client.headers[b"retry-after"]) == (429, b"7")
