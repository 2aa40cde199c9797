"""The rooms: imports run one way, without circles, and nothing heavy is imported early."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import cutaway

ROOMS = (
    *("errors", "registry", "progress", "machine", "disk", "config", "pictures", "data", "nets", "training"),
    *("store", "look", "study", "draw", "serve", "cli"),
)
"""A module may import from its own room and from rooms to its left."""

EXEMPT = {"cutaway", "cutaway.__main__"}
"""The public API names everything, and ``python -m cutaway`` is the command line."""

LONGEST = 400
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc"}

HEAVY = ["torch", "numpy", "pydantic", "matplotlib", "PIL"]
"""Each of these takes longer to import than the whole help text should."""

MOST_MODULES_FOR_THE_API = 40
"""``import cutaway`` imported 30 more modules than a bare interpreter with Python 3.11."""

MOST_MODULES_FOR_HELP = 240
"""``cutaway --help`` imported 191 more."""


@dataclass(frozen=True)
class Arrow:
    """An import: who, whom, where, and whether it happens as soon as the module is imported."""

    source: str
    target: str
    line: int
    at_once: bool


def _modules() -> dict[str, str]:
    """The text of every module of the package, by dotted name."""
    folder = Path(cutaway.__file__).parent
    return {
        _dotted(path.relative_to(folder.parent)): path.read_text("utf-8") for path in folder.rglob("*.py")
    }


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _arrows(modules: Mapping[str, str]) -> list[Arrow]:
    """Every import of one of ``modules`` by another."""
    found = []
    for source, text in modules.items():
        for node, at_once in _imports(ast.parse(text).body, at_once=True):
            for target in _targets(source, node, modules):
                found.append(Arrow(source, target, node.lineno, at_once))  # noqa: PERF401
    return found


def _imports(nodes: list[ast.stmt], *, at_once: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements, also in functions and behind conditions; those two are not run at once."""
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_once
            continue
        inside = at_once and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.body, at_once=False)
            yield from _imports(node.orelse, at_once=at_once)
            continue
        for _, value in ast.iter_fields(node):
            if not isinstance(value, list):
                continue
            yield from _imports([v for v in value if isinstance(v, ast.stmt)], at_once=inside)
            for clause in value:
                if isinstance(clause, ast.ExceptHandler | ast.match_case):
                    yield from _imports(clause.body, at_once=inside)


def _targets(source: str, node: ast.Import | ast.ImportFrom, modules: Mapping[str, str]) -> Iterator[str]:
    """The modules of ours that a statement names; the root for a name of the public API."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "cutaway")
        return
    base = node.module or ""
    if node.level:
        is_package = any(name.startswith(f"{source}.") for name in modules)
        parts = source.split(".")
        kept = parts[: len(parts) - node.level + is_package]
        base = ".".join([*kept, base] if base else kept)
    if base.split(".")[0] != "cutaway":
        return
    for alias in node.names:
        if (base, alias.name) == ("cutaway", "__version__"):
            continue
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base


def _room(module: str) -> str:
    """The room of a module; the root, whose API names all rooms, counts as right of them all."""
    return module.split(".")[1] if "." in module else "cutaway"


def _backward(modules: Mapping[str, str]) -> list[str]:
    """Arrows that run from right to left, or from or to a room that nobody placed."""
    places = {room: at for at, room in enumerate([*ROOMS, "cutaway"])}
    wrong = []
    for arrow in _arrows(modules):
        source, target = places.get(_room(arrow.source), -1), places.get(_room(arrow.target), len(places))
        if arrow.source not in EXEMPT and source < target:
            wrong.append(f"{arrow.source}, line {arrow.line}: imports {arrow.target}")
    return wrong


def _circle(modules: Mapping[str, str]) -> list[str]:
    """A circle of imports that happen at once, as module names; empty where there is none."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for arrow in _arrows(modules):
        if arrow.at_once and arrow.source not in EXEMPT:
            graph[arrow.source] |= _loaded(arrow) & modules.keys()
    path: list[str] = []
    done: set[str] = set()

    def search(module: str) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        circle = next(filter(None, map(search, sorted(graph[module]))), [])
        path.pop()
        done.add(module)
        return circle

    return next(filter(None, map(search, sorted(graph))), [])


def _loaded(arrow: Arrow) -> set[str]:
    """What an import runs: the module, and the packages around it that are not the source's own."""
    parts = arrow.target.split(".")
    around = {".".join(parts[:count]) for count in range(2, len(parts))}
    return {arrow.target} | {name for name in around if not f"{arrow.source}.".startswith(f"{name}.")}


def test_no_module_imports_from_a_room_to_its_right() -> None:
    assert _backward(_modules()) == []


def test_no_circle_of_imports() -> None:
    assert _circle(_modules()) == []


def test_every_room_is_placed() -> None:
    rooms = {_room(name) for name in _modules() if name not in EXEMPT}
    assert rooms <= set(ROOMS)
    assert {"config", "data", "nets", "training", "store", "look", "draw", "cli"} <= rooms


def test_the_imports_are_found_at_all() -> None:
    found = {(arrow.source, arrow.target) for arrow in _arrows(_modules())}
    assert ("cutaway.nets.plan", "cutaway.nets.words") in found
    assert ("cutaway.cli.nets", "cutaway.nets") in found  # inside a function
    assert len(found) > 100


@pytest.mark.parametrize(
    "text",
    [
        "from cutaway.store import Run",
        "import cutaway.store.run",
        "def late():\n    from cutaway.store import Run",
        "class A:\n    async def late(self):\n        import cutaway.store",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from cutaway.store import Run",
        "try:\n    pass\nexcept ImportError:\n    from cutaway.store import Run",
        "match 1:\n    case _:\n        from cutaway import store",
        "with open('x') as f:\n    from ..store import Run",
        "from .. import store",
        "from cutaway import train",
        "import cutaway",
    ],
)
def test_a_backward_arrow_is_found(text: str) -> None:
    modules = dict.fromkeys(("cutaway", "cutaway.nets", "cutaway.store", "cutaway.store.run"), "")
    assert len(_backward({**modules, "cutaway.nets.words": text})) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from cutaway.config import Experiment",
        "from cutaway import __version__",
        "from .plan import plan",
        "import torch",
        "from .. import data",
    ],
)
def test_an_arrow_to_the_left_or_within_the_room_is_none(text: str) -> None:
    modules = dict.fromkeys(("cutaway", "cutaway.nets", "cutaway.nets.plan", "cutaway.data"), "")
    assert _backward({**modules, "cutaway.nets.words": text}) == []


def test_a_room_that_nobody_placed_is_found() -> None:
    assert _backward({"cutaway.attic": "import cutaway.errors", "cutaway.errors": ""}) != []
    assert _backward({"cutaway.nets": "import cutaway.attic", "cutaway.attic": ""}) != []


def test_a_circle_is_found() -> None:
    first, second, third = "cutaway.nets.a", "cutaway.nets.b", "cutaway.nets.c"
    circle = _circle(
        {first: f"import {second}", second: "from .c import x", third: "from cutaway.nets import a"}
    )
    assert circle == [first, second, third, first]


def test_a_circle_through_a_package_s_own_names_is_found() -> None:
    modules = {"cutaway.nets": "from cutaway.nets.a import x", "cutaway.nets.a": "from cutaway.nets import x"}
    assert _circle(modules) == ["cutaway.nets", "cutaway.nets.a", "cutaway.nets"]


@pytest.mark.parametrize(
    "late",
    [
        "def late():\n    import cutaway.nets.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import cutaway.nets.a",
    ],
)
def test_an_import_that_is_not_run_at_once_closes_no_circle(late: str) -> None:
    assert _circle({"cutaway.nets.a": "import cutaway.nets.b", "cutaway.nets.b": late}) == []


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [name for name in _modules() if VAGUE & set(name.split("."))] == []


def test_no_file_is_longer_than_a_room_should_be() -> None:
    lengths = {name: len(text.splitlines()) for name, text in _modules().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_the_public_names_are_there_and_no_others() -> None:
    assert sorted(cutaway.__all__) == dir(cutaway)
    for name in cutaway.__all__:
        assert getattr(cutaway, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        cutaway.trane  # noqa: B018


def _new_modules(code: str) -> list[str]:
    """The modules that ``code`` imports in a fresh interpreter."""
    program = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        "sys.stdout.write('\\n' + json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(result.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize(
    ("code", "most"),
    [
        ("import cutaway", MOST_MODULES_FOR_THE_API),
        ("from cutaway.cli.app import main; assert main(['--help']) == 0", MOST_MODULES_FOR_HELP),
    ],
    ids=["import", "help"],
)
def test_starting_imports_little_and_nothing_heavy(code: str, most: int) -> None:
    names = _new_modules(code)
    assert [name for name in names if name.split(".")[0] in HEAVY] == []
    assert "cutaway" in names
    assert len(names) <= most


def test_describing_and_planning_a_net_needs_no_torch() -> None:
    names = _new_modules(
        "from cutaway.nets import find_net, plan; plan(find_net('lenet-theano'), (1, 28, 28))"
    )
    assert "cutaway.nets.plan" in names
    assert "torch" not in names
