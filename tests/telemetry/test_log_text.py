import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.telemetry.text import LONGEST, json_string, loggable_target, loggable_url, printable


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/a?api-version=1&api-key=abc", "/a?api-version=1&api-key=***"),
        (b"/a?api-key=abc&model=m", "/a?api-key=***&model=m"),
        (b"/a?API_KEY=abc", "/a?API_KEY=***"),
        (b"/a?api%2Dkey=abc", "/a?api%2Dkey=***"),
        (b"/a?%61pi-%6Bey=abc", "/a?%61pi-%6Bey=***"),
        (b"/a?access_token=e30.e30.x", "/a?access_token=***"),
        (b"/a?sv=1&sig=abc%3D", "/a?sv=1&sig=***"),
        (b"/a?subscription-key=abc=def", "/a?subscription-key=***"),
        (b"/a?client_secret=s&code=c", "/a?client_secret=***&code=***"),
        (b"/a?api-version=1?api-key=abc", "/a?api-version=***"),
        (b"/a?x=1;sig=abc&y=2", "/a?x=***&y=2"),
        (b"/a?api-key=abc?def;ghi", "/a?api-key=***"),
        (b"/a?limit=5&order=asc", "/a?limit=5&order=asc"),
        (b"/a?api-key", "/a?api-key"),
        (b"/a?", "/a?"),
        (b"/a", "/a"),
    ],
)
def test_secrets_in_the_query_are_masked_however_their_names_are_spelled(target: bytes, shown: str) -> None:
    assert loggable_target(target) == shown


@given(st.binary(max_size=200))
def test_a_target_never_holds_what_json_or_a_terminal_would_read_differently(target: bytes) -> None:
    shown = loggable_target(target)
    assert all("!" <= char <= "~" for char in shown)
    assert '"' not in shown
    assert "\\" not in shown


def test_a_long_target_is_shortened() -> None:
    assert loggable_target(b"/" + b"a" * 10_000) == "/" + "a" * (LONGEST - 1) + "..."


def test_user_and_password_of_a_configured_url_are_masked() -> None:
    assert loggable_url("https://me:pw@host/prefix") == "https://***@host/prefix"
    assert loggable_url("https://host/a@b") == "https://host/a@b"


@given(st.text() | st.text(st.characters(max_codepoint=0xFF)))
def test_json_strings_parse_and_are_printable(text: str) -> None:
    rendered = json_string(text)
    assert rendered.isprintable()
    assert orjson.loads(rendered) == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@given(st.text(st.characters()))
def test_printable_text_has_neither_newline_nor_escape(text: str) -> None:
    assert printable(text).isprintable()


def test_ordinary_text_in_any_language_stays_as_it_is() -> None:
    assert printable("Größe 大小 🙂") == "Größe 大小 🙂"
