"""Several lists as one: every object once, in one order, whatever the pages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.balancing.listing import MOST, Endless, Merge, NoCursor, NotAList, Wanted, page_target, wanted

Lists = dict[str, list[dict[str, Any]]]


def page(listed: list[dict[str, Any]], after: str, limit: int) -> dict[str, Any]:
    """As a backend answers."""
    ids = [item["id"] for item in listed]
    rest = listed[ids.index(after) + 1 if after else 0 :]
    return {"object": "list", "data": rest[:limit], "has_more": len(rest) > limit}


def merged(lists: Lists, asked: Wanted, size: int, hidden: frozenset[str] = frozenset()) -> dict[str, Any]:
    merge = Merge(list(lists), asked, lambda item: item["id"] not in hidden)
    while questions := merge.questions():
        for question in questions:
            merge.feed(question.backend, page(lists[question.backend], question.after, size))
    return merge.page()


def ask(limit: int | None = None, after: str = "", before: str = "", order: str = "desc") -> Wanted:
    return Wanted(limit, after, before, order, True)


@st.composite
def some_lists(draw: st.DrawFn) -> Lists:
    counts = draw(st.lists(st.integers(0, 12), min_size=1, max_size=3))
    lists: Lists = {}
    for backend, count in enumerate(counts):
        moments = sorted(draw(st.lists(st.integers(0, 20), min_size=count, max_size=count)), reverse=True)
        lists[f"b{backend}"] = [
            {"id": f"file-{backend}-{number}", "created_at": moment} for number, moment in enumerate(moments)
        ]
    return lists


def truth(lists: Lists) -> list[str]:
    """All objects, newest first; of the same moment, those of the first backend first."""
    numbered = [(-item["created_at"], place, item["id"]) for place, one in enumerate(lists.values()) for item in one]
    return [name for _, _, name in sorted(numbered, key=lambda found: found[:2])]


@given(some_lists(), st.integers(1, 7), st.integers(1, 5), st.data())
def test_page_by_page_every_object_comes_once_and_in_order(
    lists: Lists, limit: int, size: int, data: st.DataObject
) -> None:
    everything = truth(lists)
    hidden = frozenset(data.draw(st.sets(st.sampled_from(everything)))) if everything else frozenset[str]()
    seen: list[str] = []
    after = ""
    while True:
        got = merged(lists, ask(limit, after), size, hidden)
        ids = [item["id"] for item in got["data"]]
        assert (got["first_id"], got["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
        seen += ids
        assert len(ids) == limit or not got["has_more"]
        if not got["has_more"]:
            break
        after = got["last_id"]
    assert seen == [name for name in everything if name not in hidden]


@given(some_lists(), st.integers(1, 7), st.integers(1, 5), st.data())
def test_the_page_before_a_cursor_is_what_stands_before_it(
    lists: Lists, limit: int, size: int, data: st.DataObject
) -> None:
    everything = truth(lists)
    if not everything:
        return
    cursor = data.draw(st.sampled_from(everything))
    at = everything.index(cursor)
    got = merged(lists, ask(limit, before=cursor), size)
    assert [item["id"] for item in got["data"]] == everything[max(0, at - limit) : at]
    assert got["has_more"] == (at > limit)


def test_the_oldest_come_first_where_that_is_asked_for() -> None:
    lists = {"a": [{"id": "x1", "created_at": 1}, {"id": "x3", "created_at": 3}], "b": [{"id": "x2", "created": 2}]}
    assert [item["id"] for item in merged(lists, ask(order="asc"), 5)["data"]] == ["x1", "x2", "x3"]


def test_without_a_limit_a_page_is_as_long_as_the_longest_that_came() -> None:
    lists = {"a": [{"id": f"a{number}"} for number in range(60)], "b": [{"id": f"b{number}"} for number in range(50)]}
    got = merged(lists, ask(), 1000)
    assert (len(got["data"]), got["has_more"]) == (60, True)
    assert len(merged(lists, ask(after="a59"), 1000)["data"]) == 20


def test_an_empty_list_is_a_list() -> None:
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert merged({"a": [], "b": []}, ask(), 5) == expected


@pytest.mark.parametrize("asked", [ask(after="file-gone"), ask(before="file-gone"), ask(5, "file-gone")])
def test_a_cursor_that_nobody_has_is_told(asked: Wanted) -> None:
    with pytest.raises(NoCursor, match="file-gone"):
        merged({"a": [{"id": "file-1"}], "b": []}, asked, 5)


@pytest.mark.parametrize("answer", [None, [], {}, {"data": None}, {"data": [1]}, {"data": {"id": "x"}}, "x"])
def test_what_is_no_list_is_told(answer: Any) -> None:
    merge = Merge(["a"], ask(), lambda item: True)
    with pytest.raises(NotAList, match="a"):
        merge.feed("a", answer)


def test_a_backend_that_repeats_its_page_forever_is_asked_twice() -> None:
    merge = Merge(["a"], ask(50), lambda item: True)
    answers = 0
    while questions := merge.questions():
        answers += 1
        merge.feed(questions[0].backend, {"data": [{"id": "x"}], "has_more": True})
    assert answers == 2
    assert [item["id"] for item in merge.page()["data"]] == ["x"]


def test_a_list_without_an_end_is_not_read_to_it() -> None:
    class Endlessly(dict[str, list[dict[str, Any]]]):
        def __getitem__(self, backend: str) -> list[dict[str, Any]]:
            return [{"id": f"x{number}"} for number in range(1000)]

    with pytest.raises(Endless):
        merged(Endlessly(a=[]), ask(5, "gone"), 5)


DEEP = {
    "a": [{"id": f"x{number}", "created_at": 1000 - number} for number in range(MOST + 20)],
    "b": [{"id": "y", "created_at": 950}],
}
MINE = ["x3", "x98", "y"]
OTHERS = frozenset(item["id"] for item in DEEP["a"]) - {*MINE, "x110"}


def test_what_was_found_before_the_end_of_the_search_is_a_page() -> None:
    got = merged(DEEP, ask(5), 1, OTHERS)
    assert ([item["id"] for item in got["data"]], got["has_more"]) == (["x3", "y", "x98"], True)
    got = merged(DEEP, ask(5, after="x3"), 1, OTHERS)
    assert ([item["id"] for item in got["data"]], got["has_more"]) == (["y", "x98"], True)


@pytest.mark.parametrize("asked", [ask(5, after="x98"), ask(5, after="x105"), ask(5, before="x110")])
def test_a_page_of_nothing_is_not_taken_for_the_end_of_a_list(asked: Wanted) -> None:
    with pytest.raises(Endless):
        merged(DEEP, asked, 1, OTHERS)


def test_pages_are_as_many_as_will_be_read_and_no_more() -> None:
    got = merged({"a": DEEP["a"][:MOST]}, ask(5), 1, OTHERS)
    assert ([item["id"] for item in got["data"]], got["has_more"]) == (["x3", "x98"], False)


@pytest.mark.parametrize(
    ("query", "after", "expected"),
    [
        (b"", "", b""),
        (b"", "file-9", b"?limit=100&after=file-9"),
        (b"?limit=5", "", b"?limit=100"),
        (b"?limit=500&purpose=batch", "file-9", b"?purpose=batch&limit=500&after=file-9"),
        (b"?limit=x", "", b"?limit=x"),
    ],
)
def test_where_others_objects_are_left_out_more_is_asked_for(query: bytes, after: str, expected: bytes) -> None:
    target = b"/openai/v1/files" + query
    got = page_target(target, wanted(target, "files"), after, filtered=True)
    assert got == b"/openai/v1/files" + expected


@pytest.mark.parametrize(
    ("query", "collection", "after", "expected"),
    [
        (b"", "files", "", b""),
        (b"", "files", "file-9", b"?after=file-9"),
        (b"?purpose=batch&limit=5", "files", "", b"?purpose=batch&limit=5"),
        (b"?limit=5&after=file-1&purpose=a%20b", "files", "", b"?purpose=a%20b&limit=100"),
        (b"?%61fter=file-1", "files", "a&b", b"?limit=100&after=a%26b"),
        (b"?before=file-1&order=asc", "files", "", b"?order=asc&limit=100"),
        (b"?limit=5", "evals", "", b"?limit=5&order=asc"),
        (b"?order=desc", "chat", "", b"?order=desc"),
    ],
)
def test_backends_are_asked_what_the_client_asked_but_for_the_cursor(
    query: bytes, collection: str, after: str, expected: bytes
) -> None:
    target = b"/openai/v1/files" + query
    assert page_target(target, wanted(target, collection), after) == b"/openai/v1/files" + expected


@pytest.mark.parametrize("limit", [b"", b"0", b"-1", b"x", b"9" * 50, "²".encode(), b"1e3"])
def test_a_limit_that_is_none_is_left_to_the_backends(limit: bytes) -> None:
    assert wanted(b"/files?limit=" + limit, "files").limit is None
