"""The project's own SQL models over landed rows of a test: rendered with the project's macros, in dependency order."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import jinja2
from quantmill.udf import register
from support import ROOT

from ingest.schema import TABLES, create_tables

MACROS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "macros").glob("*.sql")))
MODELS = {path.stem: path for path in (ROOT / "models").rglob("*.sql")}
SEEDS = {path.stem: path for path in (ROOT / "models").rglob("seed_*.csv")}
KINDS = {table.name: [column.name for column in table.columns] for table in TABLES}
ENVIRONMENT = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])


class Pipeline:
    """A workbench in memory: landed tables to fill, and models to build from them.

    `land` inserts rows into a landed table, `build` makes the models named and everything below them, `ask` answers.
    """

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("set threads = 1")
        register(self.connection)
        create_tables(self.connection)
        self.built: set[str] = set()

    def land(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows into a table of ingest, such as `raw.bars`; what a row leaves out is NULL, a payload is JSON."""
        columns = KINDS[table]
        values = [
            [json.dumps(row[name]) if isinstance(row.get(name), dict) else row.get(name) for name in columns]
            for row in rows
        ]
        if values:
            marks = ", ".join("?" for _ in columns)
            self.connection.executemany(f"insert into {table} values ({marks})", values)

    def build(self, *models: str) -> Pipeline:
        """Build the models and whatever they read; a table that exists already is taken as it is."""
        for name in models:
            for model in self._order(name):
                self._create(model)
        return self

    def ask(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of a query over the built models, by their plain names."""
        return self.connection.execute(query, list(parameters)).fetchall()

    def give(self, name: str, query: str) -> None:
        """Put the rows of a query in the place of a model."""
        self.connection.execute(f"create or replace table {name} as {query}")
        self.built.add(name)

    def _order(self, name: str) -> Iterator[str]:
        if name in self.built:
            return
        self.built.add(name)
        if name in MODELS:
            text = MODELS[name].read_text(encoding="utf-8")
            for parent in re.findall(r"ref\('(\w+)'\)", text):
                yield from self._order(parent)
        elif name == "calc_market_calendar":
            yield from self._order("symbols")
        elif name == "calc_ratings":
            yield from self._order("session_bars")
        yield name

    def _create(self, name: str) -> None:
        if name in SEEDS:
            self._seed(name)
        elif name == "calc_market_calendar":
            self._calendar()
        elif name == "calc_ratings":
            self._ratings()
        elif name not in MODELS:
            raise LookupError(f"{name} is no SQL model of the project, and the test gives no rows for it")
        else:
            sql = ENVIRONMENT.from_string(MACROS + MODELS[name].read_text(encoding="utf-8")).render(
                ref=lambda parent: parent,
                source=lambda schema, table: f"{schema}.{table}",
                is_incremental=lambda: False,
            )
            self.connection.execute(f"create table {name} as {sql}")

    def _seed(self, name: str) -> None:
        path = SEEDS[name]
        kinds = dict(re.findall(r"^        (\w+): (\w+)$", path.with_suffix(".yml").read_text(encoding="utf-8"), re.M))
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        declared = ", ".join(f'"{column}" {kinds[column]}' for column in header)
        self.connection.execute(f"create table {name} ({declared})")
        marks = ", ".join("?" for _ in header)
        self.connection.executemany(
            f"insert into {name} values ({marks})", [[cell or None for cell in row] for row in rows]
        )

    def _calendar(self) -> None:
        from quantmill.features.calendars import calendar_sessions

        names = [name for (name,) in self.ask("select distinct calendar_id from symbols order by 1")]
        first = self.ask("select min(opened_at_utc) from raw.bars")[0][0]
        sessions = calendar_sessions(names, first)
        self.connection.register("sessions", sessions)
        self.connection.execute("create table calc_market_calendar as select * from sessions")
        self.connection.unregister("sessions")

    def _ratings(self) -> None:
        from quantmill.stages.features import technical_rating_table

        columns = "symbol, session_date, high, low, close, volume, close_adjustment, known_at_utc"
        bars = self.connection.sql(f"select {columns} from session_bars order by symbol, session_date")
        rated = technical_rating_table(bars.to_arrow_table())
        self.connection.register("rated", rated)
        self.connection.execute("create table calc_ratings as select * from rated")
        self.connection.unregister("rated")
