"""docs/security.md shows configurations that load, and says what they do."""

import re
from pathlib import Path

from lb.config.load import load
from lb.wire import entra, signing_keys, tokens

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
BACKEND = {"BACKEND_1_URL": "https://openai1-abc.openai.azure.com"}


def variables() -> dict[str, str]:
    return dict(re.findall(r"^(LB_[A-Z_]+)=(.+)$", PAGE, re.MULTILINE))


def test_the_variables_shown_load_and_name_the_callers() -> None:
    config = load(BACKEND | variables())
    assert set(config.client_keys().values()) == {"chat-app"}
    rules = config.entra_settings()
    assert rules is not None
    assert set(rules.allowed.values()) == {"chat-app", "anna"}
    assert all(issuer.replace(rules.tenant, "<tenant>") in PAGE for issuer in rules.issuers)
    assert all(audience.rstrip("/") + "/.default" in PAGE for audience in rules.audiences)


def test_the_file_shown_says_the_same(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    file = tmp_path / "lb.yaml"
    file.write_text(shown[1])
    by_file = load(BACKEND, str(file)).entra_settings()
    assert by_file == load(BACKEND | variables()).entra_settings()


def test_the_figures_are_those_of_the_code() -> None:
    assert f"give or take {entra.LEEWAY:g} s" in PAGE
    assert f"at most {entra.LARGEST // 1024} KiB" in PAGE
    assert f"At most {entra.KEEP:,} of the latter" in PAGE
    assert f"at least {signing_keys.SHORTEST_BITS:,} bits" in PAGE
    assert f"once in {signing_keys.ASK_AGAIN_SECONDS:g} s at most" in PAGE
    assert f"gets {tokens.WAIT_SECONDS:g} s for" in PAGE
    assert f"up to {tokens.LONGEST_PAUSE:g}." in PAGE
