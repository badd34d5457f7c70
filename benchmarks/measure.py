"""Measure what the README promises to be fast, and write the figures to benchmarks/README.md.

`make bench` runs it. Whole commands are timed from outside, in a home of their own; functions in a fresh process, after
a first call that imports and compiles what they need.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPEATS = int(os.environ.get("REPEATS", "3"))

# What a newcomer runs after the set-up, as the Makefile has it.
RUN = (
    ("ingest", [sys.executable, "-m", "ingest", "sample"]),
    ("build", [sys.executable, "-m", "quantmill", "build", "--profile", "sample"]),
    ("report", [sys.executable, "-m", "quantmill", "report", "--profile", "sample"]),
)


@dataclass(frozen=True)
class Figure:
    """One measured number: what, its budget, and what the runs gave, in seconds unless `unit` says otherwise."""

    name: str
    budget: str
    values: list[float]
    note: str = ""
    unit: str = "s"

    def row(self) -> str:
        """Return the figure as a row of the table."""
        is_short = self.unit == "s" and statistics.median(self.values) < 0.2
        scale, unit = (1000.0, "ms") if is_short else (1.0, self.unit)
        shape = ",.0f" if self.unit == "MB" else ".3g"
        low, middle, high = (format(scale * f(self.values), shape) for f in (min, statistics.median, max))
        return f"| {self.name} | {self.budget} | **{middle} {unit}** | {low} to {high} {unit} | {self.note} |"


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds, and the seconds to its first line of output."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    first, lines = None, []
    for line in process.stdout:
        first = first or time.perf_counter() - started
        lines.append(line)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{''.join(lines[-20:])}")
    seconds = time.perf_counter() - started
    return seconds, seconds if first is None else first


def home_environment(folder: Path) -> dict[str, str]:
    """Return an environment whose state, parse cache and compiled kernels lie in `folder`."""
    return {
        **os.environ,
        "QUANTMILL_HOME": str(folder),
        "DBT_TARGET_PATH": str(folder / "target"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "NUMBA_CACHE_DIR": str(folder / "numba"),
        "DO_NOT_TRACK": "1",
    }


def measure_run() -> list[Figure]:
    """Time the steps of `make run`, cold and unchanged."""
    cold, again, first_line = [], [], []
    steps: dict[str, list[float]] = {name: [] for name, _ in RUN}
    for _ in range(REPEATS):
        folder = Path(tempfile.mkdtemp(prefix="quantmill-bench-"))
        try:
            environment = home_environment(folder)
            runs = [(name, *timed(command, environment)) for name, command in RUN]
            for name, seconds, _first in runs:
                steps[name].append(seconds)
            cold.append(sum(seconds for _, seconds, _first in runs))
            first_line.append(runs[0][2])
            again.append(sum(timed(command, environment)[0] for _, command in RUN))
        finally:
            shutil.rmtree(folder)
    return [
        Figure("`make run`, cold", "60 s", cold, "nothing landed, parsed, compiled or built before"),
        *(Figure(f"of which `{name}`", "", seconds) for name, seconds in steps.items()),
        Figure("`make run`, first line of output", "5 s", first_line),
        Figure("`make run`, nothing changed", "15 s", again),
    ]


def measure_quality() -> list[Figure]:
    """Time the quality gate on the landed sample: judged for the first time, and where it was judged before."""
    dbt = str(Path(sys.executable).with_name("dbt"))
    command = [sys.executable, "-m", "quantmill", "quality"]
    first, again = [], []
    folder = Path(tempfile.mkdtemp(prefix="quantmill-bench-"))
    try:
        environment = home_environment(folder)
        timed(RUN[0][1], environment)
        # the tables that are judged, and then the same with a judgement to find
        timed(
            [
                dbt,
                "build",
                "--select",
                "+calc_quality",
                "--exclude",
                "calc_quality",
                "--exclude-resource-type",
                "test",
                "--exclude-resource-type",
                "unit_test",
            ],
            environment,
        )
        for _ in range(REPEATS):
            first.append(timed(command, environment)[0])
        timed([dbt, "build", "--selector", "data_cycle"], environment)
        for _ in range(REPEATS):
            again.append(timed(command, environment)[0])
    finally:
        shutil.rmtree(folder)
    return [
        Figure("quality gate on `sample`", "8 s", first, "the whole command, with the import of Great Expectations"),
        Figure("quality gate, judged before", "", again, "Great Expectations is not imported"),
    ]


def measure_parse() -> list[Figure]:
    """Time `dbt parse` with the parse of an earlier command saved, and without."""
    dbt = [str(Path(sys.executable).with_name("dbt")), "parse"]
    cold, warm = [], []
    for _ in range(REPEATS):
        folder = Path(tempfile.mkdtemp(prefix="quantmill-bench-"))
        try:
            cold.append(timed(dbt, home_environment(folder))[0])
            warm.append(timed(dbt, home_environment(folder))[0])
        finally:
            shutil.rmtree(folder)
    return [
        Figure("`dbt parse`", "5 s", warm),
        Figure("`dbt parse`, nothing saved", "5 s", cold, "once after cloning; over its budget"),
    ]


def measure_import() -> Figure:
    """Time the import in fresh processes, from inside."""
    code = "import time; t = time.perf_counter(); import quantmill; print(time.perf_counter() - t)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(5)
    ]
    return Figure("`import quantmill`", "0.3 s", seconds, "loads none of the heavy libraries")


def functions() -> None:
    """In a process of its own: time the functions on the embedded prices, and print JSON."""
    import numpy as np
    from quantmill.allocation.windows import WindowRequest, allocate_windows
    from quantmill.manifest.compose import resolve
    from quantmill.manifest.settings import CostModel
    from quantmill.simulation import prepare_bars, simulate

    settings = resolve(ROOT / "manifest", "sample", overrides={}, environment={}).settings
    spec = importlib.util.find_spec("skfolio")
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / "datasets" / "data" / "sp500_dataset.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    closes = np.array([[float(cell) for cell in row[1:]] for row in rows[-1512:]])
    returns = closes[1:] / closes[:-1] - 1.0
    atoms = sorted(header[1:])
    count = len(atoms)
    requests = [WindowRequest(i, 20 * i, 20 * i + 251, tuple(range(count)), "NORMAL") for i in range(62)]

    def allocate() -> object:
        return allocate_windows(
            returns, atoms, np.arange(count), np.ones(count, dtype=np.int64), requests, settings.allocation,
            profiles=("min_variance",), periods_per_year=252,
        )  # fmt: skip

    found = allocate()["min_variance"]  # type: ignore[index]
    targets = np.array([allocation.atom_weights for allocation in found])
    rows_of_decision = np.array([request.decision_row for request in requests])

    def allocate_all() -> object:
        every = allocate_windows(
            returns, atoms, np.arange(count), np.ones(count, dtype=np.int64), requests, settings.allocation,
            periods_per_year=252,
        )  # fmt: skip
        for walked in every.values():
            simulate_weights(np.array([allocation.atom_weights for allocation in walked]))
        return every

    def simulate_cell() -> object:
        return simulate_weights(targets)

    def simulate_weights(targets: object) -> object:
        return simulate(
            prepare_bars(returns, symbols=atoms, settings=settings.simulation), targets, rows_of_decision, 1491,
            mode="window", cost_model=CostModel(slippage_bps=5, commission_bps=1, borrow_annual=0.02),
            settings=settings.simulation, periods_per_year=252,
        )  # fmt: skip

    def repeated(function: Callable[[], object]) -> list[float]:
        seconds = []
        for _ in range(51):
            started = time.perf_counter()
            function()
            seconds.append(time.perf_counter() - started)
        return seconds

    simulate_cell()
    allocate_all()
    print(
        json.dumps(
            {
                "allocate": repeated(allocate),
                "every": repeated(allocate_all),
                "simulate": repeated(simulate_cell),
            }
        )
    )


def measure_functions() -> list[Figure]:
    """Run `functions` in a fresh process and return its figures."""
    output = subprocess.run(
        [sys.executable, __file__, "functions"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = json.loads(output)
    return [
        Figure(
            "minimum variance, 20 assets, 62 windows of 252 rows, from arrays",
            "30 ms",
            found["allocate"],
            "estimates, clusters, Layer 2, solves, guards and records; nothing is cached between calls",
        ),
        Figure(
            "five profiles by the engine custom, each simulated, 20 assets, 62 windows, from arrays",
            "1 s",
            found["every"],
            "310 solves and five paths; nothing is cached between calls",
        ),
        Figure(
            "one simulated cell, 1,240 sessions, 20 assets",
            "10 ms",
            found["simulate"],
            "kernel compiled before",
        ),
    ]


def measure_landing() -> list[Figure]:
    """Run each measurement of `landing.py` in a fresh process and return its figures."""
    runs: dict[str, list[dict[str, float]]] = {"bars": [], "recheck": [], "socket": []}
    for name, found in runs.items():
        for _ in range(REPEATS):
            with tempfile.TemporaryDirectory(prefix="quantmill-bench-") as folder:
                output = subprocess.run(
                    [sys.executable, str(ROOT / "benchmarks" / "landing.py"), name],
                    cwd=ROOT, env=home_environment(Path(folder)), stdout=subprocess.PIPE, text=True, check=True,
                ).stdout  # fmt: skip
            found.append(json.loads(output))

    def values(name: str, key: str) -> list[float]:
        return [found[key] for found in runs[name]]

    requests = int(runs["socket"][0]["requests"])
    return [
        Figure("landing 3 million bars from Parquet", "15 s", values("bars", "seconds"), "2,000 symbols, all new"),
        Figure("of which peak memory", "2,000 MB", values("bars", "peak_megabytes"), "the whole process", "MB"),
        Figure(
            "landing and recheck of 3,000 unchanged symbols",
            "20 s",
            values("recheck", "seconds"),
            "51 bars of each, as an incremental sync asks for",
        ),
        Figure("first loads of these, 600 bars each", "", values("recheck", "first_seconds")),
        Figure(
            "500 symbols, 600 bars each, over the simulated WebSocket, processor",
            "20 s",
            values("socket", "processor_seconds"),
            f"{runs['socket'][0]['bars']:,.0f} bars asked for, landed and judged; the venue is another process",
        ),
        Figure("the same, wall clock", "", values("socket", "seconds"), "the venue computes on the same cores"),
        Figure(
            "requests that selective sync saves, nine of ten symbols fresh",
            "at least 60 %",
            values("socket", "saved_percent"),
            f"{requests} of 500 asked for; each pass says so in `ops.sync_runs`",
            "%",
        ),
    ]


def machine() -> str:
    """Return what the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpu.read_text(encoding="utf-8").splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    libraries = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "dbt-core", "numpy", "numba"))
    return (
        f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {platform.system()}; "
        f"Python {platform.python_version()}, {libraries}"
    )


def measure_panel() -> list[Figure]:
    """Measure the data cycle over three million bars, once: a first build, one more day, the gate and a plain panel."""
    panel = importlib.import_module("panel")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        panel.make(home, 3000, 1000)
        first, peak = panel.run_dbt(home, *panel.DATA_CYCLE)
        panel.land_day(home)
        day, _ = panel.run_dbt(home, *panel.DATA_CYCLE)
        gate, plain = panel.judge(home), panel.compute_plain(home)
    return [
        Figure(
            "data cycle, 3 million bars", "45 s, 6 GB", [first],
            "3,000 symbols and 1,000 sessions, staging through regime with dbt's tests and the quality gate,"
            f" nothing built before; peak {peak:.1f} GB",
        ),
        Figure("data cycle, one new session of 3 million bars", "12 s", [day], "dbt's start is in it"),
        Figure("quality gate over 3 million bars", "10 s", [gate], "with the import of Great Expectations"),
        Figure("plain windowed panel, 3 million bars", "5 s", [plain], "in SQL alone"),
    ]  # fmt: skip


def main() -> None:
    """Measure everything and write the page."""
    figures = [
        *measure_run(),
        *measure_quality(),
        *measure_panel(),
        *measure_parse(),
        measure_import(),
        *measure_functions(),
        *measure_landing(),
    ]
    page = [
        "# Benchmarks",
        "",
        f"Written by `make bench REPEATS={REPEATS}`; do not edit. The median counts, over as many runs of whole",
        "commands and 51 calls of functions. Set-up is not in it.",
        "",
        f"Machine: {machine()}.",
        "",
        "| What | Budget | Median | Range | Note |",
        "|---|---|---|---|---|",
        *(figure.row() for figure in figures),
        "",
        "Thirty million bars (budget 9 min and 16 GB) have not been measured:"
        " `python benchmarks/panel.py make HOME --sessions 10000`, then",
        "`python benchmarks/panel.py build HOME`. `--help` lists what else it measures, each model by itself.",
        "",
    ]
    (ROOT / "benchmarks" / "README.md").write_text("\n".join(page), encoding="utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    functions() if sys.argv[1:] == ["functions"] else main()
