"""The queries behind the report pages. Each is shown on the page, with its parameters filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantmill.errors import QuantmillError
from quantmill.reports.queries_compare import COMPARE_QUERIES
from quantmill.reports.queries_quality import QUALITY_QUERIES
from quantmill.reports.queries_run import RUN_QUERIES
from quantmill.reports.queries_selection import SELECTION_QUERIES
from quantmill.reports.queries_tearsheet import TEARSHEET_QUERIES
from quantmill.snapshot import rows

if TYPE_CHECKING:
    import duckdb

PARAMETER = re.compile(r"\$([a-z_]+)")

# Read by nearly every section, so a section lists them after its own.
SHARED = ("run", "settings", "configs", "cells")

QUERIES: Mapping[str, str] = {
    **RUN_QUERIES,
    **COMPARE_QUERIES,
    **TEARSHEET_QUERIES,
    **SELECTION_QUERIES,
    **QUALITY_QUERIES,
}

NEWEST_LOAD = "select max(load_id) from raw.loads"
NEWEST_JUDGEMENT = "select max(judged_at_utc), count(*) from features.quality_results"
TABLES = "select table_schema || '.' || table_name from information_schema.tables order by 1"


# Tables that came after the first published snapshots: one without them says so, and its report still stands.
LATER_TABLES = frozenset(
    {
        "features.factor_history",
        "features.market_regimes",
        "features.quality_failures",
        "features.quality_results",
        "selection.alpha_scores",
        "selection.cluster_statistics",
        "selection.clusters",
        "selection.factor_probabilities",
        "selection.selection_warnings",
        "selection.vetoes",
        "tournaments.scoreboard",
        "tournaments.veto_matrix",
    }
)


class MissingData(QuantmillError):
    """A section of a page whose table is missing or holds nothing for the run."""


class OlderSnapshot(MissingData):
    """A table that was not made yet when the snapshot was published."""


def written_out(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the query `name` with its parameters as literals, as anyone can run it."""
    return PARAMETER.sub(lambda found: _literal(parameters[found[1]]), QUERIES[name]).strip()


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


@dataclass
class Answers:
    """The rows of a run by query, each query asked once; remembers what was asked since `forget`."""

    connection: duckdb.DuckDBPyConnection
    run_id: str
    asked: dict[str, str] = field(default_factory=dict)
    _tables: frozenset[str] | None = None
    _rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin a new list of what was asked."""
        self.asked = {}

    @property
    def tables(self) -> frozenset[str]:
        """The tables and views of the snapshot, as schema.name."""
        if self._tables is None:
            self._tables = frozenset(row[0] for row in self.connection.execute(TABLES).fetchall())
        return self._tables

    def __call__(
        self, name: str, parameters: Mapping[str, Any] | None = None, *, required: bool = True
    ) -> list[dict[str, Any]]:
        """Return the rows of the query `name`.

        Raises `MissingData` when the snapshot cannot answer it, and when a `required` one has no rows;
        `OlderSnapshot` when it reads one of `LATER_TABLES` that the snapshot does not have.
        """
        import duckdb

        # run as it is shown, so that the page cannot show another query than the one it rests on
        text = written_out(name, {"run_id": self.run_id, **(parameters or {})})
        absent = sorted(table for table in LATER_TABLES - self.tables if re.search(rf"\b{re.escape(table)}\b", text))
        if absent:
            raise OlderSnapshot(
                f"the snapshot has no table {' and '.join(absent)}: it was published before there was one",
                remedy="build and publish the run again",
            )
        self.asked[name] = text
        if text not in self._rows:
            try:
                self._rows[text] = rows(self.connection, text)
            except duckdb.Error as error:
                raise MissingData(
                    f"query '{name}' has no answer: {str(error).splitlines()[0]}",
                    remedy="build and publish the run again",
                ) from None
        if required and not self._rows[text]:
            raise MissingData(
                f"query '{name}' found no rows for run {self.run_id}",
                remedy="build and publish the run again",
            )
        return self._rows[text]
