"""docs/configuration.md and the code say the same: every setting with its place, its default, and nothing else."""

import re
from pathlib import Path

import pytest

from lb.config import load
from lb.config.load import OPTIONS
from lb.config.model import BackendSection, Config
from lb.config.settings import BACKEND_FIELDS, BY_PATH, SETTINGS, VARIABLES
from lb.config.show import shown
from lb.config.watch import RESTART_SETTINGS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
ROWS = {
    cells[0].strip("`"): (cells[1].strip("`"), cells[2].strip("`"))
    for line in DOCUMENT.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split(" | ")]]
}
LISTS = ("backends", "clients", "operators", "tenants")
REQUIRED_TOGETHER = {"LB_ENTRA_TENANT_ID": "-", "LB_ENTRA_ALLOWED": "required with a tenant"}


def default(path: tuple[str, ...]) -> str:
    model, value = Config, None
    for step in path:
        field = model.model_fields[step]
        value = field.default
        inner = [
            kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(kind, type)
        ]
        model = next((kind for kind in inner if hasattr(kind, "model_fields")), model)
    return "-" if value is None else shown(value, path)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.variable)
def test_every_setting_is_in_the_document_with_place_and_default(setting) -> None:  # type: ignore[no-untyped-def]
    place, said = ROWS[setting.variable]
    assert place == (".".join(setting.path) if setting.in_file else "environment only")
    assert said == REQUIRED_TOGETHER.get(setting.variable, default(setting.path))


@pytest.mark.parametrize(("suffix", "field"), BACKEND_FIELDS.items())
def test_every_backend_variable_is_in_the_document(suffix: str, field: str) -> None:
    info = BackendSection.model_fields[field]
    assert ROWS[f"BACKEND_<x>_{suffix}"] == (field, "required" if info.is_required() else shown(info.default))


def test_the_document_has_no_setting_that_the_code_has_not() -> None:
    known = {setting.variable for setting in SETTINGS} | {f"BACKEND_<x>_{suffix}" for suffix in BACKEND_FIELDS}
    assert ROWS.keys() == known | {"LB_CLIENT_KEYS", "LB_ADMIN_KEYS"}
    named = set(re.findall(r"\bLB_[A-Z_]+\b", DOCUMENT))
    assert named - {"LB_SERVICE_", "LB_PORT_", "LB_"} <= set(VARIABLES)
    assert {name for name in VARIABLES if name.startswith("LB_")} <= named


def test_every_setting_of_the_model_can_be_said() -> None:
    leaves = set()
    for name, field in Config.model_fields.items():
        inner = [
            kind for kind in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(kind, type)
        ]
        sections = [kind for kind in inner if hasattr(kind, "model_fields") and name not in LISTS]
        leaves |= {(name, leaf) for kind in sections for leaf in kind.model_fields} or {(name,)}
    assert leaves - {(name,) for name in LISTS} == set(BY_PATH)
    assert {*BACKEND_FIELDS.values(), "name"} == set(BackendSection.model_fields)
    assert set(OPTIONS.values()) <= set(BY_PATH)


def test_the_examples_file_is_a_good_configuration() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, flags=re.DOTALL)
    config = load({"LB_CONFIG_INLINE": text, "EAST_KEY": "a", "CHAT_APP_KEY": "b", "CHAT_APP_NEXT_KEY": "c"})
    assert [backend.name for backend in config.backends] == ["ptu-sweden", "east", "foundry"]


def test_the_document_says_what_needs_a_restart() -> None:
    (said,) = re.findall(r"These take effect only after a restart.*?\n\n", DOCUMENT, flags=re.DOTALL)
    assert set(re.findall(r"LB_[A-Z_]+", said)) == {BY_PATH[path].variable for path in RESTART_SETTINGS}
