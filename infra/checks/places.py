"""Where things are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
MAIN = INFRA / "main.bicep"
WEB = INFRA / "web.bicep"
TERRAFORM = INFRA / "terraform"
