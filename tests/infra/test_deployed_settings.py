"""infra/settings.yaml against the program: names, values, ports, probes, the time to drain."""

import re
from pathlib import Path

import yaml

from lb.config import read
from lb.config.settings import BACKEND_FIELDS, VARIABLES

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = yaml.safe_load((ROOT / "infra" / "settings.yaml").read_text())
BACKEND = {"BACKEND_1_URL": "https://openai1.openai.azure.com"}
NOT_OURS = {"AZURE_TOKEN_CREDENTIALS"}
"""Read by azure-identity."""


def test_every_setting_is_one_that_the_program_knows() -> None:
    names = {*SETTINGS["env"], *SETTINGS["deploymentEnv"]} - NOT_OURS
    assert names <= {*VARIABLES, *(f"BACKEND_<x>_{suffix}" for suffix in BACKEND_FIELDS)}


def test_the_program_starts_with_these_settings() -> None:
    config = read({**SETTINGS["env"], **BACKEND}).config
    assert config.listen.port == SETTINGS["ports"]["traffic"]
    assert config.admin.port == SETTINGS["ports"]["admin"]
    assert config.listen.host == "0.0.0.0"  # noqa: S104 - in a container
    assert config.workers == SETTINGS["resources"]["cpu"]


def test_there_is_time_to_drain_before_the_platform_kills() -> None:
    drain = read({**SETTINGS["env"], **BACKEND}).config.limits.drain_seconds
    assert drain + 15 <= SETTINGS["terminationGracePeriodSeconds"] <= 600


def test_bodies_kept_for_replay_fit_into_the_memory() -> None:
    config = read({**SETTINGS["env"], **BACKEND}).config
    gib = int(SETTINGS["resources"]["memory"].removesuffix("Gi"))
    assert config.workers * (config.limits.replay_total_bytes / 2**30 + 0.25) < gib


def test_a_deployed_app_lets_only_listed_callers_in() -> None:
    tenant = "11111111-1111-4111-8111-111111111111"
    entra = {"LB_ENTRA_TENANT_ID": tenant, "LB_ENTRA_ALLOWED": f"deployer:{tenant},{tenant.replace('1', '2')}"}
    loaded = read({**SETTINGS["env"], **BACKEND, **entra, "AZURE_CLIENT_ID": tenant})
    assert loaded.config.checks_callers
    assert not loaded.config.open_to_strangers
    assert loaded.warnings == ()


def test_no_file_of_ours_names_a_variable_that_does_not_exist() -> None:
    files = [path for path in (ROOT / "infra").rglob("*") if path.suffix in (".bicep", ".tf", ".yaml", ".json", ".md")]
    files = [path for path in files if not {"schemas", "types", "node_modules"} & set(path.parts)]
    texts = {path: path.read_text() for path in (*files, ROOT / "azure.yaml", ROOT / "docs" / "deploy.md")}
    known = {*VARIABLES, *NOT_OURS}
    backend = re.compile(rf"BACKEND_[A-Z0-9]+_({'|'.join(BACKEND_FIELDS)})")
    for path, text in texts.items():
        for name in re.findall(r"\bLB_[A-Z][A-Z_]+[A-Z]\b", text):
            assert name in known, f"{path}: {name}"
        for name in re.findall(r"\bBACKEND_[A-Z0-9]+_[A-Z_]+\b", text):
            assert backend.fullmatch(name), f"{path}: {name}"


def test_the_image_is_what_the_settings_say() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text().splitlines()
    user, port = SETTINGS["user"], SETTINGS["ports"]["traffic"]
    for line in (f"USER {user}:{user}", f"EXPOSE {port}", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["lb"]', 'CMD ["serve"]'):
        assert line in dockerfile
    assert not [line for line in dockerfile if line.startswith("HEALTHCHECK")]
