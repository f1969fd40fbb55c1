"""What the simulator reports as cached tokens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.sim.cache import PromptCache
from lb.sim.tokens import characters, prompt_tokens, texts

TOKENS = 4 * 1024


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "go on"}], **more}


def ask(cache: PromptCache, body: dict[str, Any], now: float = 0.0, deployment: str = "chat") -> int:
    return cache.cached(deployment, body, prompt_tokens(body), now)


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [
        ("a" * 4 * 1000, "a" * 4 * 1000, 0),  # 1002 tokens: too short
        ("a" * TOKENS, "a" * TOKENS, 1024),
        ("a" * 4 * 1150, "a" * 4 * 1150, 1152),  # with "go on" it is 1152 tokens
        ("a" * 4 * 1140, "a" * 4 * 1140, 1024),
        ("a" * 4 * 2000 + "b" * TOKENS, "a" * 4 * 2000 + "c" * TOKENS, 1920),
        ("b" + "a" * TOKENS, "c" + "a" * TOKENS, 0),
    ],
)
def test_the_longest_common_prefix_is_cached_in_steps_of_128_tokens(first: str, second: str, cached: int) -> None:
    cache = PromptCache(300)
    assert ask(cache, chat(first)) == 0
    assert ask(cache, chat(second)) == cached


@pytest.mark.parametrize(
    "other",
    [
        {"prompt_cache_key": "b"},
        {"prompt_cache_key": "a", "tools": [{"type": "function", "function": {"name": "weather"}}]},
        {},
    ],
)
def test_another_key_or_other_tools_share_nothing(other: dict[str, Any]) -> None:
    cache = PromptCache(300)
    ask(cache, chat("a" * TOKENS, prompt_cache_key="a"))
    assert ask(cache, chat("a" * TOKENS, **other)) == 0
    assert ask(cache, chat("a" * TOKENS, prompt_cache_key="a")) == 1024


def test_another_deployment_shares_nothing() -> None:
    cache = PromptCache(300)
    ask(cache, chat("a" * TOKENS))
    assert ask(cache, chat("a" * TOKENS), deployment="other") == 0


def test_each_use_keeps_a_prefix_for_some_more_minutes() -> None:
    cache = PromptCache(300)
    body = chat("a" * TOKENS)
    assert [ask(cache, body, now) for now in (0, 299, 598, 898, 899)] == [0, 1024, 1024, 0, 1024]


def test_memory_is_bounded_and_the_oldest_go_first() -> None:
    cache = PromptCache(300, most=20)
    for name in "abcdefghij":
        ask(cache, chat(name + "a" * 4 * 1536))
    assert len(cache) == 20
    assert ask(cache, chat("j" + "a" * 4 * 1536)) == 1536
    assert ask(cache, chat("a" + "a" * 4 * 1536)) == 0


values = st.recursive(
    st.one_of(st.text(max_size=20), st.integers(0, 9999)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["content", "text", "role", "output"]), inner, max_size=4),
    ),
)


@given(values)
def test_the_text_that_is_cached_is_the_text_that_is_counted(value: Any) -> None:
    assert len("".join(texts({"input": value}))) == characters(value)


@pytest.mark.parametrize("seconds", [300.0, 0.0])
async def test_usage_says_what_was_cached(start: Any, http: Any, seconds: float) -> None:
    sim = await start(cache_seconds=seconds)
    cached = 1024 if seconds else 0
    for operation, body, usage in (
        ("chat/completions", chat("x" * TOKENS), "prompt_tokens_details"),
        ("responses", {"instructions": "y" * TOKENS, "input": "hello"}, "input_tokens_details"),
    ):
        seen = []
        for _ in range(2):
            async with http.post(f"{sim.url}/openai/v1/{operation}", json={"model": "chat", **body}) as reply:
                seen.append((await reply.json())["usage"][usage]["cached_tokens"])
        assert seen == [0, cached]
    assert sim.ledger.sum().cached == 2 * cached


async def test_one_resource_knows_nothing_of_the_others_cache(start: Any, http: Any) -> None:
    for sim in (await start(name="openai1"), await start(name="openai2")):
        url = f"{sim.url}/openai/deployments/chat/chat/completions?api-version=2024-10-21"
        async with http.post(url, json=chat("x" * TOKENS)) as reply:
            assert (await reply.json())["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
