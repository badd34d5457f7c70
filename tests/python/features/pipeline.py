"""The project's own SQL models over landed rows of a test: rendered with the project's macros, in dependency order."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

import duckdb
import jinja2
import numpy as np
from quantmill.udf import register
from support import ROOT

from ingest.schema import TABLES, create_tables

MACROS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "macros").glob("*.sql")))
MODELS = {path.stem: path for path in (ROOT / "models").rglob("*.sql")}
SEEDS = {path.stem: path for path in (ROOT / "models").rglob("seed_*.csv")}
KINDS = {table.name: [column.name for column in table.columns] for table in TABLES}
# What Python computes: from which models, with which query of theirs and by which function of the feature stage.
CALCULATED = {
    "calc_ratings": (("session_bars",), "RATED", "technical_rating_table"),
    "calc_session_counts": (("expected_sessions", "bar_spikes"), "SESSIONS", "session_count_table"),
    "calc_suspect_moves": (("session_bars", "daily_returns"), "MOVES", "suspect_move_table"),
}
ENVIRONMENT = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])


@cache
def source_of(model: str) -> str:
    """The text of a model."""
    return MODELS[model].read_text(encoding="utf-8")


@cache
def template(model: str) -> jinja2.Template:
    """The text of a model behind the project's macros, read once."""
    return ENVIRONMENT.from_string(MACROS + source_of(model))


@cache
def parents(model: str) -> list[str]:
    """The models that a model reads."""
    return re.findall(r"ref\('(\w+)'\)", source_of(model))


@cache
def seed(name: str) -> tuple[str, tuple[str | None, ...], str]:
    """The columns of a seed with their types, its cells row by row, and the marks that stand for all of them."""
    path = SEEDS[name]
    kinds = dict(re.findall(r"^        (\w+): (\w+)$", path.with_suffix(".yml").read_text(encoding="utf-8"), re.M))
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    declared = ", ".join(f'"{column}" {kinds[column]}' for column in header)
    return declared, tuple(cell or None for row in rows for cell in row), marks(len(rows), len(header))


def marks(rows: int, columns: int) -> str:
    """The placeholders of so many rows of values."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


class Pipeline:
    """A workbench in memory: landed tables to fill, and models to build from them.

    `land` inserts rows into a landed table, `build` makes the models named and everything below them, `build_again` is
    the next build after it, which adds to incremental models and makes the others anew, `ask` answers.
    """

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("set threads = 1")
        register(self.connection)
        self.code = "the code of this build"
        self.connection.create_function("code_digest", lambda: self.code, [], "VARCHAR", side_effects=True)
        create_tables(self.connection)
        self.built: set[str] = set()
        self.given: set[str] = set()

    def land(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows into a table of ingest, such as `raw.bars`; what a row leaves out is NULL, a payload is JSON."""
        columns = KINDS[table]
        values = [
            json.dumps(row[name]) if isinstance(row.get(name), dict) else row.get(name)
            for row in rows
            for name in columns
        ]
        if values:
            self.connection.execute(f"insert into {table} values {marks(len(rows), len(columns))}", values)

    def build(self, *models: str) -> Pipeline:
        """Build the models and whatever they read; a table that exists already is taken as it is."""
        for name in models:
            for model in self._order(name):
                self._create(model)
        return self

    def build_again(self, *models: str) -> Pipeline:
        """Build the models and whatever they read once more, as the next build of dbt does; what was given stays."""
        self.built = set(self.given)
        return self.build(*models)

    def ask(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query over the built models, by their plain names."""
        return self.connection.execute(query, list(parameters)).fetchall()

    def give(self, name: str, query: str) -> None:
        """Put the rows of a query in the place of a model."""
        self.connection.execute(f"create or replace table {name} as {query}")
        self.built.add(name)
        self.given.add(name)

    def _order(self, name: str) -> Iterator[str]:
        if name in self.built:
            return
        self.built.add(name)
        if name in MODELS:
            for parent in parents(name):
                yield from self._order(parent)
        elif name == "calc_market_calendar":
            yield from self._order("symbols")
        for parent in CALCULATED.get(name, ((),))[0]:
            yield from self._order(parent)
        yield name

    def _exists(self, name: str) -> bool:
        return bool(self.ask("select 1 from duckdb_tables() where schema_name = 'main' and table_name = ?", name))

    def _create(self, name: str) -> None:
        if name in SEEDS:
            self._seed(name)
        elif name == "calc_market_calendar":
            self._calendar()
        elif name == "calc_index_members":
            # who is in an index is told by a test with `give`; without, nobody is known to be in any
            self.connection.execute(
                "create or replace table calc_index_members"
                " (index_id varchar, symbol varchar, valid_from date, valid_to date)"
            )
        elif name in CALCULATED:
            self._calculate(name)
        elif name not in MODELS:
            raise LookupError(f"{name} is no SQL model of the project, and the test gives no rows for it")
        else:
            settings: dict[str, Any] = {}
            is_added_to = "materialized='incremental'" in source_of(name) and self._exists(name)
            sql = template(name).render(
                ref=lambda parent: parent,
                source=lambda schema, table: f"{schema}.{table}",
                config=lambda **given: settings.update(given) or "",
                is_incremental=lambda: is_added_to,
                this=name,
                adapter=self,
            )
            if is_added_to:
                self._add(name, sql, settings["unique_key"])
            else:
                self.connection.execute(f"create or replace table {name} as {sql}")

    def get_columns_in_relation(self, name: str) -> list[dict[str, str]]:
        """Columns of a model, as dbt's adapter gives them to a macro."""
        query = "select column_name from duckdb_columns() where schema_name = 'main' and table_name = ?"
        return [{"name": column} for (column,) in self.ask(query, name)]

    def _add(self, name: str, sql: str, keys: Sequence[str]) -> None:
        """Replace the rows of an incremental model that have the keys of new ones, as `delete+insert` does.

        Columns that the model did not have are added to it, as `append_new_columns` says.
        """
        same = " and ".join(f"new_rows.{key} is not distinct from {name}.{key}" for key in keys)
        self.connection.execute(f"create or replace temp table new_rows as {sql}")
        known = {column["name"] for column in self.get_columns_in_relation(name)}
        for column, kind in self.ask("select column_name, column_type from (describe new_rows)"):
            if column not in known:
                self.connection.execute(f"alter table {name} add column {column} {kind}")
        self.connection.execute(f"delete from {name} using new_rows where {same}")
        self.connection.execute(f"insert into {name} by name select * from new_rows")

    def _seed(self, name: str) -> None:
        declared, cells, places = seed(name)
        self.connection.execute(f"create or replace table {name} ({declared})")
        self.connection.execute(f"insert into {name} values {places}", list(cells))

    def _calendar(self) -> None:
        from quantmill.manifest.calendars import calendar_sessions

        names = [name for (name,) in self.ask("select distinct calendar_id from symbols order by 1")]
        first = self.ask("select min(opened_at_utc) from raw.bars")[0][0]
        sessions = calendar_sessions(names, first, ())
        self.connection.register("sessions", sessions)
        self.connection.execute("create or replace table calc_market_calendar as select * from sessions")
        self.connection.unregister("sessions")

    def _calculate(self, name: str) -> None:
        from quantmill.stages import features

        _, query, compute = CALCULATED[name]
        everything = {"first": "", "last": "\U0010ffff", "since": date.min, "sparse": []}
        plain = getattr(features, query).replace("features.", "").replace("work.", "")
        given = {name: value for name, value in everything.items() if f"${name}" in plain}
        rows = self.connection.execute(plain, given).to_arrow_table()
        rows = rows.sort_by([("symbol", "ascending"), ("session_date", "ascending")])
        computed = getattr(features, compute)(rows, np.full(rows.num_rows, "0001-01-01", dtype="datetime64[D]"))
        self.connection.register("computed", computed)
        self.connection.execute(f"create or replace table {name} as select * from computed")
        self.connection.unregister("computed")
