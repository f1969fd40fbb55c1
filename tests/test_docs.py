"""The documents name things of the code; here the names are held against it."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
STORY = (ROOT / "docs" / "life-of-a-request.md").read_text()
PLACES = re.findall(r"`([A-Za-z_.]+)`\s+\(`(lb/[a-z_/]+\.py)`", STORY)


@pytest.mark.parametrize(("name", "path"), PLACES)
def test_the_life_of_a_request_names_what_is_there(name: str, path: str) -> None:
    found: object = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        if not hasattr(found, part):
            pytest.fail(f"{path} has no {name}")
        found = getattr(found, part)


def test_the_life_of_a_request_names_enough_places_to_be_worth_checking() -> None:
    assert len(PLACES) >= 12
