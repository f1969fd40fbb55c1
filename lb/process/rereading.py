"""The configuration is read again while the process runs."""

from collections.abc import Callable

from lb.config import Config, ConfigProblems, Loaded, restart_needed
from lb.telemetry.log import Logs

Load = Callable[[], Loaded]
"""Reads the configuration as at the start. Raises `ConfigProblems`."""


def read_again(load: Load, old: Config, logs: Logs) -> Loaded | None:
    """The configuration as it is now; None, after a line for each problem, when it is a bad one."""
    try:
        loaded = load()
    except ConfigProblems as problems:
        for line in problems.problems:
            logs.say("error", f"Configuration not reloaded: {line}")
        return None
    for line in (*restart_needed(old, loaded.config), *loaded.warnings):
        logs.say("warning", line)
    return loaded


def names(config: Config) -> list[str]:
    """The backends, for a log line."""
    return [f"{backend.name} {backend.url}" for backend in config.domain_backends()]
