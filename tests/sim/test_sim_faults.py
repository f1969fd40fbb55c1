"""Which fault strikes when, without a socket."""

import random

import pytest

from lb.sim.catalogue import CATALOGUE
from lb.sim.faults import Fault, Faults, Rule

NAMES = ("openai1", "chat", "chat")


def faults(*rules: str) -> Faults:
    return Faults(random.Random(7), rules)  # noqa: S311 - seeded, not secret


def next_kind(box: Faults, streams: bool = False, names=NAMES, asked: str = "") -> str | None:
    plan = box.plan(names, streams, asked)
    box.strike(plan)
    return plan.fault.fault.kind if plan.fault else None


def test_a_rule_is_read_with_all_its_parts():
    assert Rule.parse("chat=429:7@0.5*3") == Rule(Fault("429", 7.0), "chat", 0.5, 3)
    assert Rule.parse("500") == Rule(Fault("500"))


@pytest.mark.parametrize("text", ["chat=429:7@0.5*3", "500", "503:0.5", "silence*1", "crlf@0.25"])
def test_a_rule_is_shown_as_it_was_written(text):
    assert str(Rule.parse(text)) == text


@pytest.mark.parametrize("text", ["", "nonsense", "500@2", "500*-1", "500@x", "429:7s", "500 501", "503:1.2.3"])
def test_a_wrong_rule_is_refused_in_words(text):
    with pytest.raises(ValueError, match=r"fault|number|chance"):
        Rule.parse(text)


def test_a_rule_without_a_bound_holds_for_ever():
    box = faults("500")
    assert [next_kind(box) for _ in range(3)] == ["500"] * 3
    assert box.happened == {"500": 3}


def test_a_bounded_rule_ends():
    box = faults("500*2")
    assert [next_kind(box) for _ in range(3)] == ["500", "500", None]
    assert box.rules == []


def test_chance_is_kept_and_repeats_under_the_same_seed():
    first, second = ([next_kind(faults_) for _ in range(2000)] for faults_ in (faults("500@0.1"), faults("500@0.1")))
    assert first == second
    assert 150 < first.count("500") < 250


def test_a_script_is_followed_exactly():
    box = faults()
    box.script("ok", "500*2", "429:3", "ok")
    assert [next_kind(box) for _ in range(6)] == [None, "500", "500", "429", None, None]


def test_a_script_comes_before_the_rules():
    box = faults("503")
    box.script("ok", "500")
    assert [next_kind(box) for _ in range(3)] == [None, "500", "503"]


def test_a_script_entry_waits_for_a_request_that_can_suffer_it():
    box = faults()
    box.script("cut-mid-stream", "500")
    assert [next_kind(box, streams) for streams in (False, True, False)] == [None, "cut-mid-stream", "500"]


def test_a_rule_strikes_only_its_target():
    box = faults("embedding=500")
    assert next_kind(box) is None
    assert next_kind(box, names=("openai1", "embedding", "embeddings")) == "500"


def test_a_request_may_ask_for_its_own_fault():
    box = faults("500")
    assert next_kind(box, asked="429:2") == "429"
    assert next_kind(box, asked="openai2=429:2") is None
    assert next_kind(box, asked="openai2=503, openai1=408") == "408"


def test_oddities_come_together_and_with_a_fault():
    plan = faults("crlf", "split", "cut-mid-stream").plan(NAMES, True)
    assert [rule.fault.kind for rule in plan.odd] == ["crlf", "split"]
    assert plan.fault is not None


def test_nothing_is_counted_before_it_strikes():
    box = faults("500*1")
    box.plan(NAMES, False)
    assert box.happened == {}
    assert next_kind(box) == "500"


def test_clearing_ends_rules_and_script_but_keeps_the_counts():
    box = faults("500")
    box.script("503")
    next_kind(box)
    box.clear()
    assert next_kind(box) is None
    assert box.happened == {"503": 1}


def test_every_fault_says_what_it_does():
    assert all(says for _, says in CATALOGUE.values())
