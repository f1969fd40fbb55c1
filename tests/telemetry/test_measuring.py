"""What is measured of operations, in virtual time."""

from fakes import FakeReply, Story, backends, ok, request, status, stream

from lb.events import Finished, Outcome
from lb.spine.watching import watch_cost
from lb.telemetry.otel import conventions as names
from lb.telemetry.otel.measuring import ROWS, Histogram, Measuring

CHUNK = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
COST = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":6,"total_tokens":11}}\n\n'


class Measured(Story):
    """A story that is measured."""

    def __init__(self, *script: object) -> None:
        super().__init__({"a": list(script)})
        self.measuring = Measuring(self.clock, (), backends("a"))
        self.gateway.watches = [watch_cost, self.measuring.watch]

    def found(self, name: str) -> list[tuple[dict[str, str | int], Histogram]]:
        return [
            (attributes, histogram)
            for metric, _, attributes, histogram in self.measuring.show()
            if metric == name and sum(histogram.counts)
        ]


async def test_an_operation_is_counted_by_what_was_asked_and_who_answered() -> None:
    story = Measured(ok(b'{"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'))
    await story.ask()
    ((attributes, duration),) = story.found(names.DURATION)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "azure.ai.openai",
        "gen_ai.request.model": "chat",
        "server.address": "a.example",
        "server.port": 443,
    }
    assert sum(duration.counts) == 1
    tokens = {told["gen_ai.token.type"]: histogram.sum for told, histogram in story.found(names.TOKEN_USAGE)}
    assert tokens == {"input": 3, "output": 4}
    assert not story.found(names.TIME_TO_FIRST_CHUNK)


async def test_a_stream_tells_when_its_pieces_came() -> None:
    story = Measured(stream(CHUNK, CHUNK, COST))
    await story.ask()
    ((_, first),) = story.found(names.TIME_TO_FIRST_CHUNK)
    assert sum(first.counts) == 1
    ((_, chunks),) = story.found(names.TIME_PER_CHUNK)
    assert sum(chunks.counts) == 2


async def test_an_error_that_is_relayed_has_its_type_and_makes_no_label() -> None:
    story = Measured(status(400), status(400))
    for name in (b"made-up-1", b"made-up-2"):
        await story.ask(request(b"/openai/deployments/%b/chat/completions" % name))
    ((attributes, duration),) = story.found(names.DURATION)
    assert (attributes["error.type"], attributes["gen_ai.request.model"]) == ("400", "other")
    assert sum(duration.counts) == 2


async def test_estimated_tokens_are_not_told() -> None:
    story = Measured(stream(CHUNK, CHUNK))
    await story.ask(request(body=b'{"messages":[{"content":"hello"}]}'))
    assert story.finished.usage is not None
    assert story.finished.usage.estimated
    assert not story.found(names.TOKEN_USAGE)


async def test_other_requests_are_no_operations() -> None:
    story = Measured(ok())
    await story.ask(request(b"/openai/models", method="GET", body=b""))
    assert not list(story.measuring.show())


async def test_the_time_is_that_of_the_backend_that_answered() -> None:
    """What was spent before it was asked is not its time."""

    def slow() -> FakeReply:
        story.clock.now += 3  # type: ignore[attr-defined]
        return ok()()

    story = Measured(slow)
    story.clock.now += 100  # type: ignore[attr-defined]
    await story.ask()
    ((_, duration),) = story.found(names.DURATION)
    assert duration.sum == 3


def test_rows_are_bounded() -> None:
    story = Measured(ok())
    for number in range(ROWS + 50):
        finished = Finished("r", "POST", "chat", Outcome.RELAYED, 200, 1, 0.0, backend=f"b{number}")
        story.measuring.row(b"/openai/deployments/chat/chat/completions", 200, finished)
    assert len(story.measuring._rows) == ROWS + 1


def test_buckets_are_the_conventions() -> None:
    assert names.SECONDS[:3] == (0.01, 0.02, 0.04)
    assert round(names.SECONDS[-1], 2) == 81.92
    assert names.TOKENS[0] == 1
    assert names.TOKENS[-1] == 67_108_864
    histogram = Histogram(names.TOKENS)
    for value in (0, 1, 1.5, 10**9):
        histogram.add(value)
    assert (histogram.counts[0], histogram.counts[1], histogram.counts[-1]) == (2, 1, 1)
