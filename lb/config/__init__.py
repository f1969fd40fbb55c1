"""What an operator may say, and the only reader of the environment.

`load` gives a `Config` or raises `ConfigProblems` with every problem in one line each.
"""

from lb.config.clients import EntraSettings
from lb.config.load import load, read
from lb.config.model import Config
from lb.config.problems import ConfigProblems, Loaded
from lb.config.show import effective
from lb.config.watch import FileSignature, restart_needed

__all__ = [
    "Config",
    "ConfigProblems",
    "EntraSettings",
    "FileSignature",
    "Loaded",
    "effective",
    "load",
    "read",
    "restart_needed",
]
