"""A second field `model` is seen as the bytes of a form pass, wherever they are cut; a file that mentions it passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.balancing.form_scan import FormScan
from lb.balancing.model_field import Ambiguous


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--XyZ--\r\n"
MENTION = b'\r\n--XyZZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nno\r\n--Xy --XyZ\r\nname="model"'
FILE = part("file", MENTION + bytes(range(256)), '; filename="model"\r\nContent-Type: audio/wav')


def refused(*pieces: bytes) -> str | None:
    """With what words, if at all."""
    scan = FormScan(b"XyZ")
    try:
        for piece in pieces:
            scan.feed(piece)
    except Ambiguous as problem:
        return str(problem)
    return None


def single(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


def at_every_cut(body: bytes) -> str | None:
    whole = refused(body)
    assert refused(*single(body)) == whole
    for cut in range(1, len(body)):
        assert refused(body[:cut], body[cut:]) == whole, cut
    return whole


def test_one_model_and_a_file_that_mentions_it_pass() -> None:
    assert at_every_cut(FILE + part("model", b"a") + END) is None
    assert at_every_cut(b"preamble\r\n" + part("model", b"a") + FILE + END) is None
    assert at_every_cut(part("model", b"a") + END + part("model", b"b") + END) is None


@pytest.mark.parametrize("between", [b"", FILE])
def test_a_second_model_is_refused_before_a_byte_of_its_value(between: bytes) -> None:
    body = part("model", b"a") + between + part("model", b"secret") + END
    assert at_every_cut(body) == "the form has the field `model` twice"
    assert refused(*single(body[: body.index(b"secret")])) is not None


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (part("mod\\el", b"b"), "unusual way"),
        (part("model", b"b").replace(b"\r\n", b"\n"), "LF alone"),
        (part("model", b"b").replace(b"--XyZ\r", b"--XyZ"), "LF alone"),
        (b'--XyZ\r\nContent-Disposition: form-data; name="model"\n\nsecret\r\n', "without a blank line"),
        (b"--XyZ\r\nX: " + b"x" * 9000 + b"\r\n\r\n", "longer than 8192"),
        (b"--XyZ" + b" " * 1100, "white space"),
        (b'--XyZ--x\r\n--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nb\r\n', "for its end"),
    ],
)
def test_what_another_reader_may_take_for_a_second_model_is_refused(second: bytes, words: str) -> None:
    body = part("model", b"a") + FILE + second + END
    assert words in (refused(body) or "")
    assert words in (refused(*single(body)) or "")


def test_white_space_behind_the_first_boundary_hides_nothing() -> None:
    first = part("model", b"a").replace(b"--XyZ", b"--XyZ \t")
    assert "twice" in (at_every_cut(first + part("model", b"b") + END) or "")


@given(st.lists(st.tuples(st.sampled_from(["model", "file"]), st.sampled_from([b"", b"a", b"\r\n", MENTION]))))
@settings(max_examples=150, deadline=None)
def test_two_models_and_nothing_else_are_refused_however_it_is_cut(fields: list[tuple[str, bytes]]) -> None:
    body = b"".join(part(name, content) for name, content in fields) + END
    twice = [name for name, _ in fields].count("model") > 1
    assert (at_every_cut(body) is not None) is twice


@given(
    st.lists(
        st.sampled_from([b"--XyZ", b"\r\n", b"\n", b"--", b'Content-Disposition: form-data; name="model"', b"a", b" "]),
        max_size=20,
    )
)
@settings(max_examples=500, deadline=None)
def test_whatever_the_bytes_a_cut_changes_nothing(pieces: list[bytes]) -> None:
    at_every_cut(b"".join(pieces))


def test_what_is_carried_from_piece_to_piece_stays_small() -> None:
    scan = FormScan(b"XyZ")
    for piece in (*single(FILE), b"x" * 1_000_000, b"\r\n--XyZ" + b" " * 900, b"\r\n" + b"y" * 900):
        scan.feed(piece)
        assert len(scan._carry) + len(scan._head or b"") < 10_000
