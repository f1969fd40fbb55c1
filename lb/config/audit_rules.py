"""What must hold between the audit's settings, and what is worth a warning."""

from collections.abc import Iterator
from importlib.util import find_spec

from lb.config.draft import Draft
from lb.config.model import Config
from lb.config.problems import place
from lb.config.settings import Path
from lb.extras import to_install

Conflict = tuple[tuple[Path, ...], str]
TO: Path = ("audit", "to")
WORKERS: Path = ("workers",)
_NEEDS = {"file": "file", "blob": "url", "eventhubs": "url"}
_PACKAGES = {"blob": ("azure", "storage", "blob"), "eventhubs": ("azure", "eventhub")}


def conflicts(config: Config, draft: Draft) -> Iterator[Conflict]:
    """Each sink needs its place and its package, and the function must be there. Stdout is for one worker."""
    audit = config.audit
    needed = _NEEDS.get(audit.to)
    if needed is not None and getattr(audit, needed) is None:
        path: Path = ("audit", needed)
        yield (TO, path), f"{place(path, draft)}: found nothing; {place(TO, draft)} is {audit.to}, which needs it"
    packages = _PACKAGES.get(audit.to, ())
    if not all(find_spec(".".join(packages[: depth + 1])) for depth in range(len(packages))):
        yield (
            (TO,),
            f"{place(TO, draft)}: found {audit.to!r}, but its package is not installed; "
            f"allowed is another place, or to install it: {to_install('audit')}",
        )
    if audit.to == "stdout" and config.workers > 1:
        # pipe(7): a write of more than PIPE_BUF, 4096 bytes, may be mixed with those of others; records are longer
        yield (
            (TO, WORKERS),
            f"{place(TO, draft)}: found 'stdout' with {place(WORKERS, draft)} {config.workers}: records of several "
            "workers would be mixed in one pipe; allowed is one worker, or file, blob or eventhubs",
        )
    if audit.hook is not None and audit.to != "off" and not _is_there(audit.hook.partition(":")[0]):
        path = ("audit", "hook")
        yield (path, TO), f"{place(path, draft)}: found {audit.hook!r}; allowed is a function of a module that is there"


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def warnings(config: Config, draft: Draft) -> Iterator[str]:
    """Settings that do nothing while nothing is recorded."""
    if config.audit.to == "off":
        said: list[Path] = [path for path in draft.origins if path[:1] == ("audit",) and len(path) == 2 and path != TO]
        said += [
            ("tenants", index, "audit") for index, one in enumerate(config.tenants) if one.audit not in (None, "none")
        ]
        if said:
            yield f"{place(said[0], draft)} does nothing, since {place(TO, draft)} is off: no prompt is recorded"
