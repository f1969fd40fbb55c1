"""Objects whose constructors take only what each of them has: the rest is set here."""

from typing import Any, TypeVar

T = TypeVar("T")


def made(thing: T, **told: Any) -> T:
    """With these attributes, which it must have."""
    for name, value in told.items():
        getattr(thing, name)
        setattr(thing, name, value)
    return thing
