"""The judgement: which of the errors that a client saw should the balancer have absorbed?"""

from collections import Counter

from lb.demo.score import Complaint, Score, verdict

ROOM = {"openai1": 9, "openai2": 4, "openai3": 0}
NO_ROOM = {"openai1": 9, "openai2": 4, "openai3": 1}


def score(*complaints: Complaint, answered: int = 10) -> Score:
    return Score(whole=Counter(chat=answered), complaints=list(complaints))


def test_a_run_without_errors_is_fine() -> None:
    assert verdict(score(), ROOM) == []


def test_a_429_while_an_endpoint_had_room_is_the_balancers_fault() -> None:
    [wrong] = verdict(score(Complaint("chat", "HTTP 429: slow down", 429)), ROOM)
    assert wrong == "chat: a 429 while openai3 had room: HTTP 429: slow down"


def test_a_429_when_everybody_was_throttled_is_nobodys_fault() -> None:
    assert verdict(score(Complaint("chat", "HTTP 429: slow down", 429)), NO_ROOM) == []


def test_a_5xx_and_a_broken_stream_are_never_right() -> None:
    wrongs = verdict(score(Complaint("chat", "HTTP 502", 502), Complaint("streamed chat", "the stream broke")), NO_ROOM)
    assert wrongs == ["chat: HTTP 502", "streamed chat: the stream broke"]


def test_equal_errors_are_told_once_with_their_number() -> None:
    assert verdict(score(*[Complaint("chat", "HTTP 500", 500)] * 3), ROOM) == ["3 x chat: HTTP 500"]


def test_a_run_without_any_answer_is_not_fine() -> None:
    assert verdict(score(answered=0), ROOM) == ["no request was answered"]


def test_attempts_before_the_one_that_answered_count_as_absorbed() -> None:
    run = Score()
    run.replied(200, {"x-lb-backend": "BACKEND_3", "x-lb-attempts": "3"})
    run.replied(200, {"x-lb-backend": "BACKEND_1", "x-lb-attempts": "1"})
    run.replied(429, {"x-lb-attempts": "3"})
    assert (run.absorbed, run.backends) == (2, Counter(BACKEND_3=1, BACKEND_1=1))
