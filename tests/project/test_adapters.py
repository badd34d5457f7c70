"""Python models are dull: fetch, one call into quantmill, one return."""

from __future__ import annotations

import ast

import pytest
from project.sources import Module, is_under, modules

ADAPTERS = modules("models")
ids = [module.path for module in ADAPTERS]
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def _model(adapter: Module) -> ast.FunctionDef:
    found = [node for node in adapter.tree.body if isinstance(node, ast.FunctionDef) and node.name == "model"]
    assert len(found) == 1, f"{adapter.path} has {len(found)} functions named model; one was needed"
    return found[0]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ids)
def test_a_python_model_is_short_and_says_what_one_row_is(adapter: Module) -> None:
    assert len(adapter.text.splitlines()) <= 45
    assert adapter.text.startswith("# One row")


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ids)
def test_a_python_model_imports_quantmill_alone_and_only_when_it_runs(adapter: Module) -> None:
    assert [node for node in adapter.tree.body if not isinstance(node, ast.FunctionDef)] == []
    assert [one.module for one in adapter.imports() if not is_under(one.module, "quantmill")] == []
    inside = [one for one in ast.walk(_model(adapter)) if isinstance(one, ast.Import | ast.ImportFrom)]
    everywhere = [one for one in ast.walk(adapter.tree) if isinstance(one, ast.Import | ast.ImportFrom)]
    assert inside == everywhere


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ids)
def test_a_python_model_only_fetches_calls_and_returns(adapter: Module) -> None:
    *before, last = _model(adapter).body
    fetches = [node for node in before if not isinstance(node, ast.ImportFrom)]
    for node in fetches:
        assert isinstance(node, ast.Assign), f"{adapter.at(node)}: {ast.unparse(node)} is no fetch"
        assert ast.unparse(node.value).startswith(("dbt.ref(", "dbt.source(")), adapter.at(node)
    assert isinstance(last, ast.Return) and isinstance(last.value, ast.Call), adapter.at(last)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ids)
def test_a_python_model_holds_no_loop_and_no_arithmetic(adapter: Module) -> None:
    arithmetic = (ast.For, ast.While, ast.BinOp, ast.AugAssign, ast.Lambda)
    found = [adapter.at(node) for node in ast.walk(adapter.tree) if isinstance(node, arithmetic)]
    found += [adapter.at(node) for node in ast.walk(_model(adapter)) if isinstance(node, COMPREHENSIONS)]
    assert found == []
