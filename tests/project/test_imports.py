"""Who may import whom, read from the imports themselves."""

from __future__ import annotations

import subprocess
import sys

import pytest
from project.sources import FILE_READERS, GROUND, LAYERS, Module, core_modules, is_under, modules

# Slow to import, or of no concern to whoever imports the module: only inside the functions that use them.
HEAVY = (
    "clarabel", "cvxpy", "cvxportfolio", "daqp", "exchange_calendars", "joblib", "matplotlib", "numba",
    "osqp", "pandas", "plotly", "pyarrow", "pypfopt", "quantstats", "riskfolio", "scipy", "scs", "skfolio",
    "sklearn", "talib", "vectorbt",
)  # fmt: skip
OUTSIDE_THE_CORE = ("dbt", "duckdb", "great_expectations", "requests", "websockets", "ccxt")
AMBIENT = ("os", "time", "random", "tempfile", "shutil", "subprocess", "getpass", "socket", "platform")


def _allowed_parts(module: Module) -> set[str]:
    if module.part == "ledger":
        return {"errors", "frames", "ledger"}
    if module.part in GROUND:
        return set(GROUND)
    return {*GROUND, *LAYERS[: LAYERS.index(module.part) + 1]}


def test_ingest_knows_only_the_border_of_quantmill() -> None:
    allowed = tuple(f"quantmill.{part}" for part in GROUND)
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("ingest")
        for one in module.imports()
        if is_under(one.module, "quantmill") and not is_under(one.module, *allowed)
    ]
    assert found == []


def test_quantmill_never_imports_ingest() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("python")
        for one in module.imports()
        if is_under(one.module, "ingest")
    ]
    assert found == []


def test_the_simulated_market_shares_nothing_with_the_product() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("tests/market")
        for one in module.imports()
        if is_under(one.module, "quantmill", "ingest", "support")
    ]
    assert found == []


def test_no_layer_of_the_core_imports_backwards_or_an_edge() -> None:
    found = [
        f"{module.at(one.line)} ({module.part}) imports {one.module}"
        for module in core_modules()
        for one in module.imports()
        if is_under(one.module, "quantmill") and one.module.split(".")[1] not in _allowed_parts(module)
    ]
    assert found == []


def test_only_the_manifest_itself_reads_manifest_files() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in core_modules()
        if module.part != "manifest"
        for one in module.imports()
        if is_under(one.module, *FILE_READERS)
    ]
    assert found == []


def test_the_core_knows_no_database_network_or_surroundings() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in core_modules()
        for one in module.imports()
        if is_under(one.module, *OUTSIDE_THE_CORE)
        or (is_under(one.module, *AMBIENT) and module.name not in FILE_READERS)
    ]
    assert found == []


def test_the_core_imports_heavy_libraries_on_first_use() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in core_modules()
        for one in module.imports()
        if not one.is_lazy
        and is_under(one.module, *HEAVY)
        and not (module.is_private and is_under(one.module, "numba"))
    ]
    assert found == []


def test_a_private_kernel_is_imported_on_first_use() -> None:
    kernels = {
        module.name
        for module in core_modules()
        if any(is_under(one.module, "numba") and not one.is_lazy for one in module.imports())
    }
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("python")
        for one in module.imports()
        if not one.is_lazy and is_under(one.module, *kernels)
    ]
    assert kernels and found == []


def test_only_quality_imports_great_expectations() -> None:
    found = [
        f"{module.at(one.line)} imports {one.module}"
        for module in modules("python", "ingest", "models")
        if not module.name.startswith("quantmill.quality")
        for one in module.imports()
        if is_under(one.module, "great_expectations")
    ]
    assert found == []


@pytest.mark.parametrize("name", ["quantmill", "quantmill.cli"])
def test_importing_the_package_and_its_command_line_loads_nothing_heavy(name: str) -> None:
    heavy = [
        "numpy", "pandas", "duckdb", "dbt", "skfolio", "riskfolio", "cvxpy", "great_expectations",
        "quantstats", "plotly", "numba",
    ]  # fmt: skip
    script = f"import sys, {name}; print(*(m for m in {heavy!r} if m in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
