"""The page as a file: self-contained, and held by its own policy."""

import re

import pytest

from lb.admin.pages import Document


@pytest.mark.parametrize("name", ["page.html", "login.html"])
def test_a_document_names_no_other_address_and_has_no_script_or_style_that_its_policy_forbids(name: str) -> None:
    text = Document(name).text
    addresses = set(re.findall(r"https?://[^\s\"'`<]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a namespace, never fetched
    assert not re.findall(r"<[^>]+\s(?:style|on\w+)=", text)
    assert "innerHTML" not in text
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*\s(?:src|href)=\"(?!data:,)", text)


def test_the_policy_knows_exactly_what_stands_in_the_file() -> None:
    page = Document("page.html")
    assert page.policy.count("sha256-") == len(re.findall(r"<(?:script|style)>", page.text)) == 2
    form = Document("login.html")
    assert "script-src 'none'" in form.policy


def test_the_form_shows_a_problem_where_it_has_a_place_for_it() -> None:
    assert 'role="alert">Not this one.<' in str(Document("login.html").response(401, "Not this one.").text)
