"""Everything public says what it is, in whole words."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from project.sources import Module, modules

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(module: Module) -> Iterator[Documented]:
    """Yield the public classes and functions of a module; methods are their class's affair."""
    for node in module.tree.body:
        if isinstance(node, Documented) and not node.name.startswith("_"):
            yield node


def test_every_module_has_a_docstring() -> None:
    assert [module.path for module in modules("python", "ingest") if not ast.get_docstring(module.tree)] == []


def test_every_public_class_and_function_has_a_docstring() -> None:
    found = [
        f"{module.at(node)} {node.name}"
        for module in modules("python", "ingest")
        if not module.is_private
        for node in _public(module)
        if not ast.get_docstring(node)
    ]
    assert found == []


def test_public_names_are_no_abbreviations_of_two_letters() -> None:
    found = [
        f"{module.at(node)} {node.name}"
        for module in modules("python", "ingest")
        for node in _public(module)
        if len(node.name) <= 2
    ]
    assert found == []
