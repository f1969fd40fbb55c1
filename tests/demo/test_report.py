"""The end of the demo on paper."""

import io
from collections import Counter

from rich.console import Console

from lb.demo.latency import Latency
from lb.demo.report import how_to_use, present_result
from lb.demo.score import Complaint, Score

SCORE = Score(10, Counter(chat=6, embeddings=4), Counter(BACKEND_1=5, BACKEND_2=3, BACKEND_3=2), absorbed=7)
LATENCY = Latency(240, p50=0.00031, p99=0.00123, noise_p99=0.0004)


def printed(score: Score, latency: Latency | None, wrongs: list[str]) -> str:
    file = io.StringIO()
    present_result(Console(file=file, width=100), score, latency, wrongs)
    return file.getvalue()


def test_the_table_has_every_figure() -> None:
    text = " ".join(printed(SCORE, LATENCY, []).split())
    for figure in ("requests 10 6 chat, 4 embeddings", "429s absorbed 7", "errors the client saw 0", "openai1 50%"):
        assert figure in text
    assert "added latency p50/p99 0.31 / 1.23 ms" in text
    assert "240 rounds" in text
    assert "differ by 0.40 ms at p99" in text
    assert "refused 7 times and the client never noticed" in text


def test_errors_are_told_instead_of_praise() -> None:
    text = printed(Score(10, complaints=[Complaint("chat", "HTTP 502", 502)]), LATENCY, ["chat: HTTP 502"])
    assert "let through what it should have absorbed:\n  - chat: HTTP 502" in text
    assert "never noticed" not in text


def test_a_long_list_of_errors_is_cut() -> None:
    assert "and 2 other kinds" in printed(SCORE, LATENCY, [f"chat: wrong {n}" for n in range(10)])


def test_latency_that_was_not_measured_is_said_to_be_so() -> None:
    text = printed(SCORE, None, [])
    assert "not measured" in text
    assert "too busy" in text


def test_a_run_without_a_429_says_why() -> None:
    assert "too slow to overrun openai1" in printed(Score(1, Counter(chat=1), Counter(BACKEND_1=1)), LATENCY, [])


def test_the_addresses_for_clients_are_complete() -> None:
    text = how_to_use("http://127.0.0.1:8080", "http://127.0.0.1:8081")
    assert "OPENAI_BASE_URL=http://127.0.0.1:8080/openai/v1 " in text
    assert "AZURE_OPENAI_ENDPOINT=http://127.0.0.1:8080 " in text
    assert "lb status http://127.0.0.1:8081 " in text
