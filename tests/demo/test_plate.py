"""The table of tenants, and what counts as a fault of the balancer's."""

from collections import Counter

from rich.console import Console

from lb.demo.appetites import APPETITES, Appetite
from lb.demo.plate import Plate, booked_tokens, judgement, read_ended, read_tokens, tenants_table, verdict

GREEDY = Appetite("greedy", 4, 0.2, {"tokens_per_minute": 100}, beyond="tokens_per_minute")
MODEST = Appetite("modest", 1, 0.2, {"requests_per_minute": 10})
METRICS = """
# TYPE openai_total_tokens_total counter
openai_total_tokens_total{method_name="chat",openai_name="backend_1",tenant_name="greedy"} 70.0
openai_total_tokens_total{method_name="embeddings",openai_name="backend_2",tenant_name="greedy"} 25.0
openai_total_tokens_bucket{le="16.0",method_name="chat",openai_name="backend_1",tenant_name="greedy"} 3.0
lb_requests_total{deployment="chat",outcome="relayed",status="200",tenant_name="greedy"} 6.0
lb_requests_total{deployment="chat",outcome="refused",status="429",tenant_name="greedy"} 9.0
"""


def plate(appetite: Appetite, **more: object) -> Plate:
    return Plate(appetite, **{"asked": 9, "served": 5, "told": 95, "booked": 95, **more})  # type: ignore[arg-type]


def refused(**by: int) -> Counter[str]:
    return Counter(by)


def test_the_books_are_read_and_added_up() -> None:
    assert read_tokens(METRICS) == {"greedy": 95}
    assert read_ended(METRICS) == 15
    ledgers = [
        [{"tenant": "greedy", "total": 90}, {"tenant": "modest", "total": 1}],
        [{"tenant": "greedy", "total": 5}],
    ]
    assert booked_tokens(ledgers) == {"greedy": 95, "modest": 1}


def test_who_was_beyond_its_budget_and_who_was_not_is_as_it_should_be() -> None:
    plates = [plate(GREEDY, refused=refused(tokens_per_minute=4)), plate(MODEST)]
    assert verdict(plates) == []
    assert "every token is in the books" in judgement([]).plain


def test_every_fault_is_found() -> None:
    wrongs = "\n".join(
        verdict(
            [
                plate(GREEDY, told=94),
                plate(MODEST, refused=refused(tokens_per_minute=1), wrongs=Counter({"ValueError: x": 2})),
                plate(MODEST, served=11),
                plate(MODEST, served=0),
            ]
        )
    )
    for words in (
        "greedy: 94 tokens were told, and the endpoints booked 95",
        "greedy: it asked for more than its tokens_per_minute, and was never refused",
        "modest: 2 x ValueError: x",
        "modest: 1 refusals by tokens_per_minute, of which it had enough",
        "modest: 11 requests were served within a minute, of 10",
        "modest: no request was answered",
    ):
        assert words in wrongs
        assert words in judgement([words]).plain


def test_the_table_fits_a_narrow_terminal() -> None:
    plates = [Plate(each, 1234, 999, Counter({each.beyond: 999}) if each.beyond else Counter()) for each in APPETITES]
    for each in plates:
        each.told = each.booked = 99_999
    console = Console(width=80, record=True, force_terminal=False)
    with console.capture() as shown:
        console.print(tenants_table(plates, final=True))
    lines = shown.get().splitlines()
    assert len(lines) == 2 + len(APPETITES)
    assert "…" not in shown.get()
    assert "999 tokens/min" in shown.get()
