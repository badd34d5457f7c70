"""The project as the house rules look at it: its modules as syntax trees, its kept files, its dbt models."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from support import ROOT

# Inside quantmill a layer imports itself and what stands left of it; the first three are the common ground.
GROUND = ("errors", "frames", "manifest")
LAYERS = ("features", "selection", "synthesis", "allocation", "simulation", "judgement", "meta", "state")
# The manifest is files, and the home is where they lie: these are the core's border to its surroundings.
FILE_READERS = (
    "quantmill.manifest.calendars",
    "quantmill.manifest.compose",
    "quantmill.manifest.files",
    "quantmill.manifest.home",
)


@dataclass(frozen=True)
class Import:
    """One import: `module` is the dotted name, `line` its place, `is_lazy` whether a function does it."""

    module: str
    line: int
    is_lazy: bool


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, its path below the root and its syntax tree."""

    name: str
    path: str
    text: str
    tree: ast.Module

    @property
    def part(self) -> str:
        """The part of the package the module belongs to: `quantmill.allocation.custom` is in `allocation`."""
        return [*self.name.split("."), ""][1]

    @property
    def is_core(self) -> bool:
        return self.name.startswith("quantmill.") and self.part in (*GROUND, *LAYERS, "ledger")

    @property
    def is_private(self) -> bool:
        return any(part.startswith("_") for part in self.name.split("."))

    def imports(self) -> list[Import]:
        """Every import that runs; those for the type checker alone are left out."""
        return list(_imports(self.tree, self.name, is_lazy=False))

    def at(self, node: ast.AST | int) -> str:
        """The place of a node as `path:line`."""
        return f"{self.path}:{node if isinstance(node, int) else getattr(node, 'lineno', 0)}"


def _imports(node: ast.AST, name: str, *, is_lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, child.lineno, is_lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                base = ".".join([*name.split(".")[: -child.level], base]).rstrip(".")
            # `from quantmill import errors` imports a module too, so both readings of the name are given
            yield from (Import(f"{base}.{alias.name}", child.lineno, is_lazy) for alias in child.names)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, name, is_lazy=is_lazy or inside)


def is_under(module: str, *packages: str) -> bool:
    """Whether the dotted name is one of the packages or lies below one."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the text of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@cache
def modules(*folders: str) -> tuple[Module, ...]:
    """Every Python module under the folders, in order of path."""
    found = []
    for folder in folders:
        base = ROOT / "python" if folder == "python" else ROOT
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found.append(Module(name, path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    assert found, f"no Python files under {folders}"
    return tuple(found)


def core_modules() -> list[Module]:
    """The modules of quantmill that know no database, clock, environment or files."""
    return [module for module in modules("python") if module.is_core]


@cache
def kept_files() -> tuple[str, ...]:
    """The files that git tracks or would add, as paths below the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this copy of the project is no git repository, so nothing says which files it keeps")
    return tuple(sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file()))


class DbtProject:
    """The models and tests of the project as dbt parsed them."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        nodes = manifest["nodes"]
        self.models = {n["name"]: n for n in nodes.values() if n["resource_type"] == "model"}
        self.sources = manifest["sources"]
        self.nodes = nodes
        self.tests = [n for n in nodes.values() if n["resource_type"] == "test"]

    def parents(self, model: dict[str, Any]) -> list[dict[str, Any]]:
        """The models and sources that a model reads."""
        return [self.nodes.get(i) or self.sources[i] for i in model["depends_on"]["nodes"]]

    def public(self) -> dict[str, dict[str, Any]]:
        """The models that people may rely on, by `schema.name`: those outside the schema `work`."""
        return {f"{m['schema']}.{n}": m for n, m in self.models.items() if m["schema"] != "work"}

    def sql(self) -> dict[str, dict[str, Any]]:
        """The models written in SQL, by name."""
        return {name: model for name, model in self.models.items() if model["language"] == "sql"}

    def keys(self, model: dict[str, Any]) -> list[list[str]]:
        """The column lists of the `unique_key` tests of a model."""
        return [
            test["test_metadata"]["kwargs"]["columns"]
            for test in self.tests
            if test.get("attached_node") == model["unique_id"] and test["test_metadata"]["name"] == "unique_key"
        ]
