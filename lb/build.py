"""Which build this is."""

from importlib.metadata import version

from lb import gateway

VERSION = version("openai-lb")
COMPILED = not (gateway.__file__ or "").endswith(".py")
"""The modules that every request runs through are compiled (`setup.py`)."""
