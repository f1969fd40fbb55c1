"""Has the configuration file changed, and which changes need more than a reload?"""

from hashlib import sha256
from pathlib import Path as FilePath

from lb.config.model import Config
from lb.config.settings import BY_PATH

RESTART_SETTINGS = (
    ("listen", "host"),
    ("listen", "port"),
    ("admin", "host"),
    ("admin", "port"),
    ("workers",),
    ("log", "format"),
    ("log", "level"),
    ("ca_file",),
    ("affinity", "entries"),
    ("redis", "url"),
    ("redis", "entra"),
    ("audit", "to"),
    ("audit", "file"),
    ("audit", "file_bytes"),
    ("audit", "file_count"),
    ("audit", "file_daily"),
    ("audit", "url"),
    ("audit", "connection_string"),
    ("audit", "redact"),
    ("audit", "hook"),
    ("audit", "field_bytes"),
    ("audit", "record_bytes"),
    ("audit", "queue_bytes"),
    ("usage", "store"),
    ("usage", "keep_days"),
    ("metrics", "tokenizer"),
    ("metrics", "token_buckets"),
    ("metrics", "second_buckets"),
    ("telemetry", "genai_system"),
)
"""What is bound, forked or built once when the process starts."""


def signature(path: str) -> bytes | None:
    """What the file holds, as a digest; None while it cannot be read.

    The content and not its dates: a Kubernetes ConfigMap is swapped by a symbolic link to another directory, a bind
    mount may keep inode and size, and two quick writes can share one tick of the clock.
    """
    try:
        return sha256(FilePath(path).read_bytes()).digest()
    except OSError:
        return None


class FileSignature:
    """Remembers what a file held. Asked now and then, it tells once when there is something new.

    New content counts once it was seen twice in a row, so that a file is not taken over half written. A file that is
    gone is not a change: it is what a swap looks like from within.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._known = signature(path)
        self._candidate: bytes | None = None

    def note(self) -> None:
        """What it holds now is about to be read anyway, so it is nothing new."""
        self._known = signature(self.path)

    def changed(self) -> bool:
        """Is there new content that has settled?"""
        found = signature(self.path)
        settled = found == self._candidate
        self._candidate = found
        if found is None or found == self._known or not settled:
            return False
        self._known = found
        return True


def restart_needed(old: Config, new: Config) -> list[str]:
    """One line for each setting that differs and takes effect only after a restart; all others apply by a reload."""
    return [
        f"{'.'.join(path)} ({BY_PATH[path].variable}) changed: it takes effect after a restart"
        for path in RESTART_SETTINGS
        if _at(old, path) != _at(new, path)
    ]


def _at(config: Config, path: tuple[str, ...]) -> object:
    value: object = config
    for step in path:
        value = getattr(value, step)
    return value
