"""Rights over all workers: real processes, since the kernel keeps them per process."""

import os
from collections.abc import Callable, Iterator

import pytest

from lb.balancing.peers import Right
from lb.shared.claims import Claims

KEY, OTHER = b"k" * 16, b"o" * 16


class Elsewhere:
    """The same claims in a forked process: it does what it is told, one thing after the other."""

    def __init__(self, claims: Claims) -> None:
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._obey(claims, orders, answers)
            finally:
                os._exit(0)
        os.close(orders)
        os.close(answers)

    @staticmethod
    def _obey(claims: Claims, orders: int, answers: int) -> None:
        ways: dict[bytes, Callable[[], object]] = {
            b"t": lambda: claims.claim(KEY, Right.TRIAL),
            b"T": lambda: claims.release(KEY, Right.TRIAL),
            b"p": lambda: claims.claim(KEY, Right.PROBE),
        }
        while order := os.read(orders, 1):
            os.write(answers, b"1" if ways[order]() else b"0")

    def do(self, order: bytes) -> bool:
        os.write(self._orders, order)
        return os.read(self._answers, 1) == b"1"

    def die(self) -> None:
        if self.pid:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
            os.close(self._orders)
            os.close(self._answers)
            self.pid = 0


@pytest.fixture
def claims() -> Claims:
    return Claims()


@pytest.fixture
def elsewhere(claims: Claims) -> Iterator[Elsewhere]:
    there = Elsewhere(claims)
    yield there
    there.die()


def test_two_trials_may_run_in_all(claims: Claims, elsewhere: Elsewhere) -> None:
    assert claims.claim(KEY, Right.TRIAL)
    assert elsewhere.do(b"t")
    assert not claims.claim(KEY, Right.TRIAL)
    assert not elsewhere.do(b"t")
    elsewhere.do(b"T")
    assert claims.claim(KEY, Right.TRIAL)
    assert not elsewhere.do(b"t")


def test_one_worker_may_have_both_and_gives_them_back_one_by_one(claims: Claims, elsewhere: Elsewhere) -> None:
    assert claims.claim(KEY, Right.TRIAL)
    assert claims.claim(KEY, Right.TRIAL)
    assert not claims.claim(KEY, Right.TRIAL)
    claims.release(KEY, Right.TRIAL)
    assert elsewhere.do(b"t")
    assert not elsewhere.do(b"t")


def test_one_probe_may_run_in_all_and_does_not_stand_in_the_way_of_trials(claims: Claims, elsewhere: Elsewhere) -> None:
    assert elsewhere.do(b"p")
    assert not claims.claim(KEY, Right.PROBE)
    assert claims.claim(KEY, Right.TRIAL)
    assert claims.claim(OTHER, Right.PROBE)


def test_what_a_killed_worker_had_is_free(claims: Claims, elsewhere: Elsewhere) -> None:
    assert elsewhere.do(b"p")
    assert elsewhere.do(b"t")
    assert elsewhere.do(b"t")
    elsewhere.die()
    assert claims.claim(KEY, Right.PROBE)
    assert claims.claim(KEY, Right.TRIAL)
    assert claims.claim(KEY, Right.TRIAL)
