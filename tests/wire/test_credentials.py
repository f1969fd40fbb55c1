"""Credentials against a fake at the port to azure-identity, on virtual clocks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from lb.balancing.backend import Backend
from lb.exchange import BackendFailed, Blame
from lb.wire.credentials import Credentials

KEYED = Backend("BACKEND_1", "https://one", api_key="secret-key")
KEYLESS = Backend("BACKEND_2", "https://two")
ELSEWHERE = Backend("BACKEND_3", "https://three", scope="https://ai.azure.com/.default")


@dataclass
class Given:
    token: str
    expires_on: int
    refresh_on: int | None = None


@dataclass
class FakeAzure:
    """Answers in the order told; when it has nothing to say it waits for `may_answer`."""

    answers: list[Given | Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)
    connected: int = 0
    closed: int = 0

    async def connect(self) -> "FakeAzure":
        self.connected += 1
        return self

    async def get_token_info(self, scope: str) -> Given:
        self.asked.append(scope)
        self.was_asked.set()
        await self.may_answer.wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed += 1


@dataclass
class Scene:
    azure: FakeAzure
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.credentials = Credentials(lambda: self.now + 1.7e9, lambda: self.now, self.azure.connect)

    def token(self, text: str, lasts: int, refresh: int | None = None) -> Given:
        moment = int(self.now + 1.7e9)
        return Given(text, moment + lasts, None if refresh is None else moment + refresh)

    async def settle(self) -> None:
        """Let whatever was begun behind a request come to its end."""
        await asyncio.gather(*[task for task in asyncio.all_tasks() if task.get_name().startswith("token for")])


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene(FakeAzure())
    scene.azure.may_answer.set()
    yield scene
    await scene.credentials.close()


async def test_a_key_is_ready_at_once_and_azure_is_never_asked(scene: Scene) -> None:
    assert scene.credentials.ready(KEYED) == b"api-key: secret-key\r\n"
    assert await scene.credentials.fetch(KEYED) == b"api-key: secret-key\r\n"
    assert scene.azure.connected == 0


@pytest.mark.parametrize("key", ["a\r\nHost: evil", "a b", "", "ключ", "a\x00"])
async def test_a_key_that_could_break_the_header_is_never_sent(scene: Scene, key: str) -> None:
    backend = Backend("BACKEND_9", "https://nine", api_key=key)
    assert scene.credentials.ready(backend) is None
    with pytest.raises(BackendFailed, match="BACKEND_9") as failed:
        await scene.credentials.fetch(backend)
    assert failed.value.blame is Blame.TOKEN
    assert not key or key not in failed.value.detail


async def test_a_token_is_fetched_once_and_then_ready(scene: Scene) -> None:
    scene.azure.answers = [scene.token("t1", 3600)]
    assert scene.credentials.ready(KEYLESS) is None
    assert await scene.credentials.fetch(KEYLESS) == b"Authorization: Bearer t1\r\n"
    assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer t1\r\n"
    assert await scene.credentials.token(KEYLESS.scope) == "t1"
    assert scene.azure.asked == [KEYLESS.scope]


async def test_each_scope_has_its_own_token_and_all_share_one_credential(scene: Scene) -> None:
    scene.azure.answers = [scene.token("t1", 3600), scene.token("t2", 3600)]
    await scene.credentials.fetch(KEYLESS)
    await scene.credentials.fetch(ELSEWHERE)
    assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer t1\r\n"
    assert scene.credentials.ready(ELSEWHERE) == b"Authorization: Bearer t2\r\n"
    assert scene.azure.connected == 1


async def test_a_hundred_requests_ask_once(scene: Scene) -> None:
    scene.azure.answers = [scene.token("t1", 3600)]
    lines = await asyncio.gather(*[scene.credentials.fetch(KEYLESS) for _ in range(100)])
    assert set(lines) == {b"Authorization: Bearer t1\r\n"}
    assert len(scene.azure.asked) == 1


async def test_a_request_that_leaves_does_not_take_the_token_of_the_others_along(scene: Scene) -> None:
    scene.azure.may_answer.clear()
    scene.azure.answers = [scene.token("t1", 3600)]
    leaving = asyncio.ensure_future(scene.credentials.fetch(KEYLESS))
    staying = asyncio.ensure_future(scene.credentials.fetch(KEYLESS))
    await scene.azure.was_asked.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    scene.azure.may_answer.set()
    assert await staying == b"Authorization: Bearer t1\r\n"
    assert leaving.cancelled()


@pytest.mark.parametrize(
    ("lasts", "refresh", "renewed_after"), [(3600, None, 3300), (86400, 43200, 43200), (400, None, 200)]
)
async def test_a_token_is_renewed_before_its_end_and_nobody_waits(
    scene: Scene, lasts: int, refresh: int | None, renewed_after: int
) -> None:
    scene.azure.answers = [scene.token("old", lasts, refresh)]
    await scene.credentials.fetch(KEYLESS)
    scene.now += renewed_after - 1
    assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer old\r\n"
    assert len(scene.azure.asked) == 1
    scene.now += 2
    scene.azure.may_answer.clear()
    scene.azure.answers = [scene.token("new", 3600)]
    for _ in range(10):
        assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer old\r\n"
        assert await scene.credentials.fetch(KEYLESS) == b"Authorization: Bearer old\r\n"
        await asyncio.sleep(0)
    scene.azure.may_answer.set()
    await scene.settle()
    assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer new\r\n"
    assert len(scene.azure.asked) == 2


async def test_while_renewing_fails_the_old_token_serves_to_its_end(scene: Scene) -> None:
    scene.azure.answers = [scene.token("old", 3600)]
    await scene.credentials.fetch(KEYLESS)
    scene.now += 3590
    scene.azure.answers = [RuntimeError("boom"), RuntimeError("boom")]
    assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer old\r\n"
    await scene.settle()
    for _ in range(20):
        assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer old\r\n"
    assert len(scene.azure.asked) == 2, "the endpoint is left in peace for a second"
    scene.now += 10
    assert scene.credentials.ready(KEYLESS) is None
    with pytest.raises(BackendFailed, match="no Microsoft Entra token for"):
        await scene.credentials.fetch(KEYLESS)


async def test_the_same_token_again_is_not_asked_for_in_a_loop(scene: Scene) -> None:
    given = scene.token("same", 200, 0)
    scene.azure.answers = [given, given, given]
    await scene.credentials.fetch(KEYLESS)
    for _ in range(5):
        assert scene.credentials.ready(KEYLESS) == b"Authorization: Bearer same\r\n"
        await scene.settle()
    assert len(scene.azure.asked) == 2
    scene.now += 31
    assert scene.credentials.ready(KEYLESS) is not None
    await scene.settle()
    assert len(scene.azure.asked) == 3


async def test_a_failure_is_remembered_longer_each_time_and_forgotten_on_success(scene: Scene) -> None:
    pauses = []
    for _ in range(7):
        scene.azure.answers = [RuntimeError("boom")]
        asked = len(scene.azure.asked)
        with pytest.raises(BackendFailed):
            await scene.credentials.fetch(KEYLESS)
        began = scene.now
        while not scene.azure.answers:
            with pytest.raises(BackendFailed):
                await scene.credentials.fetch(KEYLESS)
            assert len(scene.azure.asked) == asked + 1, "a remembered failure asks nobody"
            scene.now += 0.5
            if scene.now - began >= 40 or not _quiet(scene):
                break
        pauses.append(scene.now - began)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    scene.azure.answers = [scene.token("t1", 3600)]
    assert await scene.credentials.fetch(KEYLESS) == b"Authorization: Bearer t1\r\n"


def _quiet(scene: Scene) -> bool:
    return scene.now < scene.credentials._tokens[KEYLESS.scope]._quiet_until


async def test_no_detail_repeats_what_came_from_outside(scene: Scene) -> None:
    said = {
        "AADSTS70021: no match. Token: eyJhbGciOi": "Entra refused with AADSTS70021",
        "\n\tManagedIdentityCredential: (invalid_request) Identity not found\nX: eyJhbGciOi": "AZURE_CLIENT_ID",
        "Unexpected response \"{'access_token': 'eyJhbGciOi'}\"": "no token",
        "EnvironmentCredential authentication unavailable. eyJhbGciOi": "no identity was found",
        "whatever eyJhbGciOi": "RuntimeError",
    }
    for theirs, ours in said.items():
        scene.azure.answers = [RuntimeError(theirs)]
        with pytest.raises(BackendFailed, match=ours) as failed:
            await scene.credentials.fetch(KEYLESS)
        assert "eyJ" not in failed.value.detail
        scene.now += 60


@pytest.mark.parametrize("text", ["bad\r\ntoken", "", "a b"])
async def test_a_token_that_could_break_the_header_is_a_failure(scene: Scene, text: str) -> None:
    scene.azure.answers = [scene.token(text, 3600)]
    with pytest.raises(BackendFailed, match="characters"):
        await scene.credentials.fetch(KEYLESS)


async def test_a_token_that_has_ended_when_it_comes_points_at_the_clock(scene: Scene) -> None:
    scene.azure.answers = [scene.token("t", -5)]
    with pytest.raises(BackendFailed, match="clock"):
        await scene.credentials.fetch(KEYLESS)


async def test_requests_that_wait_when_the_balancer_stops_are_told_so(scene: Scene) -> None:
    scene.azure.may_answer.clear()
    waiting = asyncio.ensure_future(scene.credentials.fetch(KEYLESS))
    await scene.azure.was_asked.wait()
    await scene.credentials.close()
    with pytest.raises(BackendFailed, match="stopping"):
        await waiting
    assert scene.azure.closed == 1


async def test_a_credential_that_cannot_be_made_is_tried_again() -> None:
    azure = FakeAzure()
    azure.may_answer.set()
    outcomes = [RuntimeError("no azure-identity")]

    async def connect() -> FakeAzure:
        if outcomes:
            raise outcomes.pop()
        return azure

    now = 1000.0
    credentials = Credentials(lambda: now, lambda: now, connect)
    with pytest.raises(BackendFailed):
        await credentials.fetch(KEYLESS)
    now += 1.0
    azure.answers = [Given("t1", 5000)]
    assert await credentials.fetch(KEYLESS) == b"Authorization: Bearer t1\r\n"
    await credentials.close()
