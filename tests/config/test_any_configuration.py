"""Whatever is said, it is a configuration or a list of lines, never a traceback."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lb.config import ConfigProblems, effective, read
from lb.config.settings import BACKEND_FIELDS, CONFIG_FILE, VARIABLES

NAMES = st.sampled_from([name for name in VARIABLES if name != CONFIG_FILE]) | st.builds(
    "BACKEND_{}_{}".format,
    st.sampled_from(["1", "2", "A_B", "", "é"]),
    st.sampled_from([*BACKEND_FIELDS, "APIKEI", "X"]),
)
VALUES = st.sampled_from(
    [
        "1",
        "0",
        "true",
        "https://a",
        "https://[::1]:1/p",
        "a=b,c",
        "a:k,b:l",
        "1KiB",
        "json",
        "*",
        "${A}",
        "a:b:c",
        "[",
        "//",
    ]
) | st.text(max_size=20)
KEYS = st.sampled_from(
    [
        "backends",
        "clients",
        "entra",
        "limits",
        "listen",
        "name",
        "url",
        "keys",
        "deployments",
        "allowed",
        "port",
        "platform",
        "tenants",
        "tenancy",
        "per_deployment",
        "callers",
        "sources",
        "tokens_per_minute",
    ]
) | st.text(max_size=4)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def check(environ: dict[str, str]) -> None:
    problems, loaded = ["-"], None
    try:
        loaded = read(environ)
    except ConfigProblems as wrong:
        problems, loaded = wrong.problems, wrong.rest
    assert problems
    assert all(line and line.isprintable() for line in problems)
    assert loaded is not None
    assert effective(loaded)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6))
@example({"BACKEND_1_URL": "https://a\x00b", "LB_CLIENT_KEYS": "a\nb:c"})
def test_any_environment(environ: dict[str, str]) -> None:
    check(environ)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=4))
@example({"backends": [{"name": "a", "url": {"a": "b"}}]})
@example({"clients": [{"name": ["a"], "keys": {"a": "b"}}], "entra": {"allowed": {"a": ["b"]}}})
def test_any_tree(tree: dict[str, object]) -> None:
    check({"LB_CONFIG_INLINE": json.dumps(tree), "BACKEND_1_URL": "https://a"})
    check({"LB_CONFIG_INLINE": json.dumps(tree)})


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("abc:-[]{}&*!|>'\"#%@`,? \n\t${}1~"), max_size=60) | st.text(max_size=40))
def test_any_text(text: str) -> None:
    check({"LB_CONFIG_INLINE": text, "BACKEND_1_URL": "https://a"})
