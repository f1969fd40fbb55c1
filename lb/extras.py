"""What is installed only where it is wanted, and how: the package is in no index; it runs from a clone or an image."""

IN_IMAGE = frozenset({"redis", "telemetry", "audit"})
"""What the image has, since a deployment's settings can ask for it (Dockerfile, requirements/extras.txt)."""


def to_install(extra: str) -> str:
    """What to do about a missing extra, to stand behind "allowed is"."""
    image = "the image has it" if extra in IN_IMAGE else "the image is made without it"
    return f"in a clone .venv/bin/python -m pip install -e '.[{extra}]' ({image})"
