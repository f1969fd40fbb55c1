"""What is said of extras is true of the project's files."""

import re
import tomllib
from pathlib import Path

from lb.extras import IN_IMAGE, to_install

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def pinned(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    return {found.lower() for found in re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==", text, re.MULTILINE)}


def versions(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;]+)", text, re.MULTILINE))


def packages(extra: str) -> set[str]:
    return {re.split(r"[<>=\[]", wanted)[0].lower() for wanted in EXTRAS[extra]}


def test_the_image_has_what_it_is_said_to_have_and_no_more() -> None:
    assert "ARG REQUIREMENTS=extras.txt" in (ROOT / "Dockerfile").read_text()
    for extra in EXTRAS:
        assert (packages(extra) <= pinned("extras.txt")) == (extra in IN_IMAGE), extra
    assert pinned("run.txt") <= pinned("extras.txt")


def test_what_the_image_runs_is_what_the_suite_tests() -> None:
    def versions(name: str) -> dict[str, str]:
        return dict(
            re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)
        )

    tested = versions("dev.txt")
    assert {name: version for name, version in versions("extras.txt").items() if tested[name] != version} == {}


def test_the_words_name_an_extra_that_there_is() -> None:
    for extra in EXTRAS:
        assert f".[{extra}]" in to_install(extra)
    code = "".join(path.read_text() for path in (ROOT / "lb").rglob("*.py"))
    assert set(re.findall(r"to_install\([\'\"](\w+)", code)) == set(EXTRAS)
