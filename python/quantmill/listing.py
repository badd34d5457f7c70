"""Lists of what there is, and answers to SQL, for the command line."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import yaml

from quantmill.errors import QuantmillError, UsageError
from quantmill.manifest.acquisition import load_members
from quantmill.manifest.compose import list_profiles, resolve
from quantmill.manifest.composition import ResolvedScanner, load_library, resolve_scanner
from quantmill.manifest.files import read_mapping
from quantmill.manifest.home import Home
from quantmill.manifest.scanners import Scanner
from quantmill.manifest.settings import Exclusion, GateSettings, MatrixSettings, Settings, UniverseSettings
from quantmill.snapshot import read_snapshot, read_workbench

QUERIES = {
    "runs": """
        select
            runs.run_id, runs.profile, runs.status, runs.opened_at_utc, runs.as_of_date, runs.universe_basis,
            coalesce(runs.label, '') as label,
            coalesce(string_agg(settings.key || '=' || settings.value, ' ' order by settings.key), '') as overrides
        from selection.runs as runs
        left join selection.run_settings as settings
            on runs.run_id = settings.run_id and settings.source_layer in ('command_line', 'environment')
        group by all
        order by runs.opened_at_utc desc, runs.run_id
    """,
    "symbols": """
        select symbols.symbol, symbols.asset_class, health.verdict, health.last_session_date
        from features.symbols as symbols
        left join features.symbol_health as health on symbols.symbol = health.symbol
        where symbols.valid_to is null
        qualify row_number() over (partition by symbols.symbol order by health.as_of_date desc) = 1
        order by symbols.symbol
    """,
    "tables": """
        select schema_name || '.' || table_name as table_name, estimated_size as row_count, comment
        from duckdb_tables() where schema_name not in ('main', 'work') order by 1
    """,
}
UNSEALED = """
    select run_id, profile, status, opened_at_utc
    from selection.runs
    where status <> 'sealed'
    order by opened_at_utc desc, run_id
"""
# Lists that depend on the profile.
OF_PROFILE = ("cells", "gates")
CHOICES = {"engines": "engines", "risk-profiles": "risk_profiles", "simulators": "simulators"}


def lines(home: Home, what: str, profile: str) -> Iterator[str]:
    """Yield the lines of the list `what`; cells and gates are those of `profile`.

    A profile that does not resolve is listed with its error.
    """
    if what in OF_PROFILE:
        settings = resolve(home.manifest, profile, overrides={}, environment=os.environ).settings
        yield _cells(settings) if what == "cells" else _gates(settings)
    elif what == "profiles":
        for name in list_profiles(home.manifest):
            try:
                settings = resolve(home.manifest, name, overrides={}, environment={}).settings
                yield f"{name:<30} {settings.description}"
            except QuantmillError as error:
                yield f"{name:<30} BROKEN {error}"
    elif what == "universes":
        yield from _universes(home)
    elif what == "scanners":
        yield from _scanners(home)
    elif what == "blocks":
        library = load_library(home.manifest)
        for name in sorted(library.blocks, key=lambda one: (library.blocks[one].layer, one)):
            entry = library.blocks[name]
            yield f"{entry.layer} {name:<30} {entry.status:<13} {entry.description}"
    elif what == "window-sets":
        for name, lengths in yaml.safe_load((home.manifest / "defaults.yml").read_text(encoding="utf-8"))[
            "windows"
        ].items():
            yield f"{name:<30} train {lengths['train']}, test {lengths['test']}, step {lengths['step']}"
    elif what in CHOICES:
        annotation = MatrixSettings.model_fields[CHOICES[what]].annotation
        yield from get_args(get_args(annotation)[0])
    else:
        yield answer(home, QUERIES[what], "table")
        if what == "runs":
            yield from _unsealed(home)


def _universes(home: Home) -> Iterator[str]:
    """Yield the static lists that profiles name, then the pools that scanners are built on."""
    for path in sorted((home.manifest / "universes").glob("*.yml")):
        try:
            content = read_mapping(path)
            if "blocks" in content:
                continue
            universe = UniverseSettings.model_validate({"id": path.stem, **content})
            yield f"{path.stem:<30} {len(universe.symbols)} symbols, {universe.basis}"
        except (ValueError, QuantmillError) as error:
            yield f"{path.stem:<30} BROKEN {' '.join(str(error).split())}"
    library = load_library(home.manifest)
    for name in sorted(library.blocks):
        if library.blocks[name].layer == "L0":
            yield f"{name:<30} {library.blocks[name].description}"


def _scanners(home: Home) -> Iterator[str]:
    library = load_library(home.manifest)
    for name in library.scanner_ids:
        try:
            scanner = resolve_scanner(library, name).scanner
            facts = f"{scanner.direction:<5} {scanner.logic:<14} {scanner.limit:>4} {scanner.status:<12}"
            yield f"{name:<35} {facts} {scanner.description}{_unknown_members(home.manifest, scanner)}"
        except QuantmillError as error:
            yield f"{name:<35} BROKEN {error}"


def _unknown_members(manifest: Path, scanner: Scanner) -> str:
    """Return words for a scanner of an index of which no member is known; empty for any other."""
    if scanner.index_id is None or load_members(manifest, scanner.index_id):
        return ""
    return f" [no membership known: fill manifest/indices/{scanner.index_id}.csv]"


def scanner_lines(manifest: Path, resolved: ResolvedScanner) -> Iterator[str]:
    """Yield one line per value of a scanner: key, value, layer and block. Columns of one block share a line."""
    if unknown := _unknown_members(manifest, resolved.scanner):
        yield f"attention:{unknown}"
    columns: dict[tuple[str, str], list[str]] = {}
    for row in resolved.rows:
        if row.key == "columns":
            columns.setdefault((row.layer, row.block_id), []).append(row.value)
    yield f"config_hash {resolved.scanner.config_hash}"
    for row in resolved.rows:
        value = row.value
        if row.key == "columns":
            value = ", ".join(columns.pop((row.layer, row.block_id), ()))
        elif isinstance(value, tuple):
            value = ", ".join(value)
        if value in (None, "") or value == ():
            continue
        yield f"{row.key:<38} {row.layer:<8} {row.block_id or '-':<30} {value}"


def _cells(settings: Settings) -> str:
    """Return the combinations of the matrix, those that are left out last and with what leaves them out."""
    from quantmill.stages.plan import excluded_cells, plan_cells

    dimensions = list(Exclusion.model_fields)
    planned = [(cell, None) for cell in plan_cells(settings)]
    found = [
        [
            cell["cell_id"],
            *(cell[name] for name in dimensions),
            ", ".join(f"{name}: {value}" for name, value in exclusion.stated.items()) if exclusion else "",
        ]
        for cell, exclusion in [*planned, *excluded_cells(settings)]
    ]
    return markdown(["cell_id", *dimensions, "excluded by"], found)


def _gates(settings: Settings) -> str:
    """Return the gates in their order with what passes, then the limits that the profile sets."""
    from quantmill.judgement import GATES

    limits = [
        [f"gates.{name}", getattr(settings.gates, name), field.description]
        for name, field in GateSettings.model_fields.items()
    ]
    return "\n\n".join(
        (
            markdown(["gate", "passed where"], [[gate, meaning] for gate, meaning in GATES.items()]),
            markdown(["setting", "value", "meaning"], limits),
        )
    )


def _unsealed(home: Home) -> Iterator[str]:
    """Yield the runs of the workbench that are not sealed, which the published snapshot never holds."""
    import duckdb

    if not home.workbench.is_file():
        return
    try:
        with duckdb.connect(str(home.workbench), read_only=True) as connection:
            cursor = connection.execute(UNSEALED)
            found = cursor.fetchall()
            names = [column[0] for column in cursor.description or []]
    except duckdb.CatalogException:
        return  # landed, never built
    except duckdb.Error as error:
        yield f"\nruns that are not sealed cannot be read now: {str(error).splitlines()[0]}"
        return
    if found:
        yield "\nnot sealed, in the workbench only:"
        yield markdown(names, found)


def answer(home: Home, query: str, form: str, *, workbench_say: Callable[[str], None] | None = None) -> str:
    """Return the answer to `query` as a table, CSV or JSON: from the published snapshot, or from the workbench.

    The functions of `quantmill.udf` are registered. `workbench_say` asks for the workbench, and is told when that has
    to be waited for. Raises `UsageError` with DuckDB's message when the query does not run.
    """
    import duckdb

    from quantmill.udf import register

    with read_workbench(home, say=workbench_say) if workbench_say else read_snapshot(home) as connection:
        register(connection)
        try:
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or []]
            found = cursor.fetchall()
        except duckdb.Error as error:
            raise UsageError(str(error), remedy="'python -m quantmill list tables' shows the tables") from None
    return _render(names, found, form)


def _render(names: list[str], found: list[Any], form: str) -> str:
    if form == "json":
        return json.dumps([dict(zip(names, row, strict=True)) for row in found], default=str, indent=1)
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(found)
        return out.getvalue().rstrip("\n")
    return markdown(names, found)


def markdown(names: list[str], found: list[Any]) -> str:
    """Return rows as a table that reads well in a terminal and in Markdown; numbers are right-aligned."""
    cells = [[_cell(value) for value in row] for row in found]
    widths = [max(len(name), 3, *(len(row[i]) for row in cells)) for i, name in enumerate(names)]
    numeric = [
        bool(found) and all(isinstance(row[i], int | float) or row[i] is None for row in found)
        for i in range(len(names))
    ]
    head = (
        "| "
        + " | ".join(name.rjust(w) if n else name.ljust(w) for name, w, n in zip(names, widths, numeric, strict=True))
        + " |"
    )
    rule = "|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric, strict=True)) + "|"
    body = [
        "| "
        + " | ".join(cell.rjust(w) if n else cell.ljust(w) for cell, w, n in zip(row, widths, numeric, strict=True))
        + " |"
        for row in cells
    ]
    return "\n".join([head, rule, *body])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
