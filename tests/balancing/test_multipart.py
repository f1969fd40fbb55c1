"""The model of a form is the part of that name, or the form is refused."""

import contextlib
import time
from email.parser import BytesParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lb.balancing.model_field import Ambiguous
from lb.balancing.multipart import boundary_of, find_model_part

TYPE = b"multipart/form-data; boundary=XyZ"


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XyZ--\r\n"


def value(body: bytes) -> str | None:
    field = find_model_part(body, b"XyZ")
    if field is None:
        return None
    assert body[field.start : field.end].decode() == field.value
    return field.value


FILE = part("file", b"RIFF\x00\x01\r\n--Xy\r\n\r\nname=model", '; filename="a.wav"\r\nContent-Type: audio/wav')


def test_the_model_is_found_before_and_behind_a_file() -> None:
    assert value(form(part("model", b"whisper"), FILE)) == "whisper"
    assert value(form(FILE, part("model", b"whisper"))) == "whisper"
    assert value(b"preamble\r\n" + form(FILE, part("model", b"whisper"))) == "whisper"


def test_a_form_without_a_model_has_none() -> None:
    assert value(form(FILE)) is None
    assert value(form()) is None
    assert value(b"") is None
    assert value(b"--XyZ") is None
    assert value(b"--XyZ\r\n" + form(part("file", b""))) is None


@pytest.mark.parametrize(
    "head",
    [
        "Content-Disposition: form-data; name=model",
        'content-disposition:form-data;name="model"',
        'CONTENT-DISPOSITION: Form-Data; NAME="model"',
        'Content-Type: text/plain\r\nContent-Disposition: form-data; name="model"',
        'Content-Disposition: form-data;\r\n name="model"',
        'Content-Disposition: form-data; name="model"; x="y"',
        'Content-Disposition: form-data; x="name"; name="model"',
    ],
)
def test_clients_write_the_head_of_a_part_in_many_ways(head: str) -> None:
    assert value(f"--XyZ\r\n{head}\r\n\r\nwhisper\r\n--XyZ--\r\n".encode()) == "whisper"


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="file"; filename="a; name=model; b"',
        'Content-Disposition: form-data; name="file"; filename="a\\"; name=model; b"',
        'Content-Disposition: form-data; name="models"',
        'Content-Disposition: form-data; name="my model"',
        'Content-Disposition: form-data; filename="model"',
        'Content-Type: text/plain; name="model"',
    ],
)
def test_what_only_looks_like_the_name_is_not_it(head: str) -> None:
    assert value(f"--XyZ\r\n{head}\r\n\r\nwhisper\r\n--XyZ--\r\n".encode()) is None


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="mod\\el"',
        'Content-Disposition: attachment; name="model"',
        'Content-Disposition: form-data; name="Model"',
        'Content-Disposition: ; name="model"',
        "Content-Disposition: form-data; name='model'",
        "Content-Disposition: form-data; name=<model>",
        'Content-Disposition: form-data; name*0="mod"; name*1="el"',
        "Content-Disposition: form-data; name*0*=utf-8''mod; name*1=el",
        'Content-Disposition: form-data; name="file"; name="model"',
        'Content-Disposition: form-data; name="model"; name="file"',
        "Content-Disposition: form-data; name*=utf-8''model",
        "Content-Disposition: form-data; name=\"file\"; name*=utf-8''m%6fdel",
        'Content-Disposition: form-data; name="file"\r\nContent-Disposition: form-data; name="model"',
    ],
)
def test_a_name_that_two_readers_may_read_differently_is_refused(head: str) -> None:
    with pytest.raises(Ambiguous):
        value(f"--XyZ\r\n{head}\r\n\r\nwhisper\r\n--XyZ--\r\n".encode())


def test_two_models_are_refused_even_when_one_is_unusable() -> None:
    with pytest.raises(Ambiguous):
        value(form(part("model", b"a"), FILE, part("model", b"b")))
    with pytest.raises(Ambiguous):
        value(form(part("model", b"a" * 1000), part("model", b"b")))


def test_what_stands_behind_the_end_of_the_form_does_not_count() -> None:
    assert value(form(FILE) + form(part("model", b"a"))) is None
    assert value(form(part("model", b"a")) + b"\r\n" + form(part("model", b"b"))) == "a"


@pytest.mark.parametrize(
    "body",
    [
        form(part("model", b"a")).replace(b"\r\n", b"\n"),
        part("model", b"b").replace(b"\r\n", b"\n") + form(part("model", b"a")),
        form(part("file", part("model", b"b").replace(b"\r\n", b"\n")), part("model", b"a")),
        b"\n" + form(part("model", b"a")),
        form(part("model", b"a"), b"--XyZ--\n"),
        form(part("model", b"a").replace(b"\r\n\r\n", b"\n\n"), part("model", b"b")),
        form(b"--XyZ \t" + part("model", b"a")[5:], part("model", b"b")),
        form(part("model", b"a"), b"--XyZ--x\r\n", part("model", b"b")),
    ],
)
def test_a_boundary_that_only_some_readers_see_is_refused(body: bytes) -> None:
    with pytest.raises(Ambiguous):
        value(body)


def test_a_form_of_countless_parts_is_refused_at_once() -> None:
    started = time.process_time()
    for many in (b"\r\n--X" * 4_000_000, b"--X\r\n" * 4_000_000):
        with pytest.raises(Ambiguous, match="more than"):
            find_model_part(many, b"X")
    assert time.process_time() - started < 1.0, "seconds for 24 MB: every other request would wait"


def test_a_longer_boundary_that_begins_alike_is_content() -> None:
    inner = b'x\r\n--XyZZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nno\r\n--XyZZ--'
    assert value(form(part("file", inner), part("model", b"yes"))) == "yes"


def test_a_model_that_is_not_there_to_its_end_is_not_guessed() -> None:
    body = form(part("model", b"whisper"))
    end = body.index(b"\r\n--XyZ--")
    assert find_model_part(body[: end + 2], b"XyZ") is None
    assert find_model_part(body, b"XyZ") is not None


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'multipart/form-data; boundary="a b;c"', b"a b;c"),
        (b"multipart/form-data;charset=utf-8;BOUNDARY=abc", b"abc"),
        (b"multipart/form-data; boundary=----WebKitFormBoundaryAbC", b"----WebKitFormBoundaryAbC"),
        (b'multipart/form-data; boundary="a\\b"', None),
        (b"multipart/form-data", None),
        (b"multipart/form-data; boundary=", None),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: bytes, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        b"multipart/form-data; boundary=a; boundary=b",
        b'multipart/form-data; x="; boundary=a"; boundary=b',
        b"multipart/form-data; boundary=a; Boundary*=utf-8''b",
        b"multipart/form-data; boundary=a; boundary*0=b",
    ],
)
def test_a_content_type_with_two_boundaries_is_refused(content_type: bytes) -> None:
    with pytest.raises(Ambiguous):
        boundary_of(content_type)


TEXT = st.text("abc=;- \r\n\"'model", max_size=20)


@given(st.lists(st.tuples(st.sampled_from(["model", "file", "prompt"]), TEXT), max_size=5))
@settings(max_examples=300)
def test_a_mail_parser_is_of_the_same_opinion(fields: list[tuple[str, str]]) -> None:
    body = form(*(part(name, text.encode()) for name, text in fields))
    parsed = BytesParser().parsebytes(b"Content-Type: " + TYPE + b"\r\n\r\n" + body)
    names = [inner.get_param("name", header="content-disposition") for inner in parsed.get_payload()] if fields else []
    if names.count("model") > 1:
        with pytest.raises(Ambiguous):
            value(body)
    else:
        expected = next((text for name, text in fields if name == "model"), None)
        assert value(body) == expected


@given(
    st.lists(st.sampled_from([b"--XyZ", b"\r\n", b"--", b'Content-Disposition: form-data; name="model"', b"a", b" "]))
)
@settings(max_examples=300)
def test_no_bytes_whatever_break_it(pieces: list[bytes]) -> None:
    with contextlib.suppress(Ambiguous):
        value(b"".join(pieces))
