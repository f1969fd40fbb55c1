"""Command line, environment and file become one configuration, or a list of all that is wrong with them."""

from collections.abc import Iterable, Mapping
from copy import deepcopy

from pydantic import ValidationError

from lb.config.draft import Draft, Origin, Source
from lb.config.environment import read_environment, variables
from lb.config.file import read_file, read_text
from lb.config.model import Config
from lb.config.problems import ConfigProblems, Loaded, explain
from lb.config.rules import conflicts, conflicts_in_draft, warnings
from lb.config.settings import CONFIG_FILE, CONFIG_INLINE, KEY_LISTS, Path

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "--host": ("listen", "host"),
    "--port": ("listen", "port"),
    "--workers": ("workers",),
}


def load(
    environ: Mapping[str, str],
    config_path: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> Config:
    """The configuration. Raises `ConfigProblems`. Options win over the environment, and that over the file."""
    return read(environ, config_path, host=host, port=port, workers=workers).config


def read(
    environ: Mapping[str, str],
    config_path: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
) -> Loaded:
    """As `load`, and where every value came from. Raises `ConfigProblems`."""
    draft = Draft()
    found = variables(environ, draft)
    replaced = _replaced(found)
    file = _read_file(config_path, found, environ, replaced, draft)
    read_environment(found, draft)
    for option, value in {"--host": host, "--port": port, "--workers": workers}.items():
        if value is not None:
            draft.put(OPTIONS[option], str(value), Origin(Source.OPTION, option))
    return _judge(draft, file)


def _replaced(found: Mapping[str, str]) -> list[str]:
    """Sections of the file that the environment replaces as a whole."""
    backends = ["backends"] if any(name.startswith("BACKEND_") for name in found) else []
    return backends + [section for variable, section in KEY_LISTS.items() if variable in found]


def _read_file(
    config_path: str | None, found: Mapping[str, str], environ: Mapping[str, str], replaced: list[str], draft: Draft
) -> str | None:
    named_by, path = ("--config", config_path) if config_path else (CONFIG_FILE, found.get(CONFIG_FILE))
    if path is None:
        if CONFIG_INLINE in found:
            read_file(found[CONFIG_INLINE], CONFIG_INLINE, environ, replaced, draft)
        return None
    if CONFIG_INLINE in found and not config_path:
        draft.problems.append(f"{CONFIG_INLINE}: found together with {CONFIG_FILE}; allowed is one of the two")
    text = read_text(path, named_by, draft)
    if text is None:
        draft.broken.add(("backends",))
    else:
        read_file(text, path, environ, replaced, draft)
    return path


def _judge(draft: Draft, file: str | None) -> Loaded:
    """The configuration, or every problem: what is wrong is taken out, so that the rest can be judged together."""
    problems = [*draft.problems, *conflicts_in_draft(draft)]
    rest = Draft(deepcopy(draft.tree), dict(draft.origins), overruled=draft.overruled, unread=draft.unread)
    wrong: set[Path] = set()
    while True:
        try:
            config = Config.model_validate(rest.tree)
            break
        except ValidationError as failed:
            explained = explain(failed, rest)
        if not wrong:  # later rounds only find what the earlier ones took out
            problems.extend(line for path, line in explained if not draft.is_broken(path))
        paths = {path for path, _ in explained}
        wrong.update(paths)
        rest.drop(paths)
    problems.extend(line for involved, line in conflicts(config, rest) if not _touches(involved, wrong))
    loaded = Loaded(config, rest.origins, tuple(warnings(config, rest)), file, frozenset(wrong))
    if problems:
        raise ConfigProblems(problems, loaded)
    return loaded


def _touches(involved: Iterable[Path], wrong: Iterable[Path]) -> bool:
    """Does a wrong value stand in one of these places, or within it? Then nobody knows what was meant."""
    return any(path[: len(place)] == place for path in wrong for place in involved)
