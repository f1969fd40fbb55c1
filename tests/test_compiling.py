"""What is compiled must be what is written. Two ways are known in which mypyc 2.4 makes something else of it without a
word (docs/decisions/0009-compiled.md); they are kept out of the modules that `setup.py` names."""

import ast
import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HARMLESS = {"bool", "len", "min", "max", "start", "end", "index", "find", "lstrip"}
"""May be called twice."""


def paths() -> Iterator[Path]:
    tree = ast.parse((ROOT / "setup.py").read_text())
    (listed,) = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMPILED"
    ]
    for room, names in ast.literal_eval(listed).items():
        for name in names.split():
            yield Path("lb", room, f"{name}.py")


MODULES = [pytest.param(path, id=str(path)) for path in paths()]


def calls(bound: ast.expr | None) -> set[str]:
    found = list(ast.walk(bound or ast.Constant(0)))
    if any(isinstance(node, ast.NamedExpr | ast.Await | ast.Yield) for node in found):
        return {ast.unparse(bound or ast.Constant(0))}
    functions = [node.func for node in found if isinstance(node, ast.Call)]
    return {function.attr if isinstance(function, ast.Attribute) else ast.unparse(function) for function in functions}


@pytest.mark.parametrize("path", MODULES)
def test_the_bounds_of_a_slice_may_be_reckoned_twice(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Slice):
            for bound in (node.lower, node.upper, node.step):
                assert calls(bound) <= HARMLESS, f"{path}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("path", MODULES)
def test_a_port_that_is_none_at_first_is_set_by_the_constructor(path: Path) -> None:
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    classes = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.ClassDef)]
    for line in [line for node in classes if not node.decorator_list for line in node.body]:
        if isinstance(line, ast.AnnAssign) and isinstance(line.value, ast.Constant) and line.value.value is None:
            assert not is_port(module, line.annotation), f"{path}:{line.lineno}: {ast.unparse(line)}"


def is_port(module: object, annotation: ast.expr) -> bool:
    """Fails where a name stands for nothing that can be seen: a quoted one, say."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)]
    meant = [getattr(module, name, None) or getattr(builtins, name) for name in names]
    return any(getattr(one, "_is_protocol", False) for one in meant)


def test_these_checks_see_what_they_look_for() -> None:
    (cut,) = [node for node in ast.walk(ast.parse("rest[os.write(1, rest):]")) if isinstance(node, ast.Slice)]
    assert calls(cut.lower) == {"write"}
    assert calls(ast.parse("at + len(key)", mode="eval").body) <= HARMLESS
    module = importlib.import_module("lb.exchange")
    assert is_port(module, ast.parse("Reply | None", mode="eval").body)
    assert not is_port(module, ast.parse("Ended | None", mode="eval").body)
