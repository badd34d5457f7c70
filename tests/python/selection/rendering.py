"""One SQL model of the project over tables of a test: its Jinja rendered with the project's own macros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import jinja2
from quantmill.manifest.compose import resolve
from quantmill.udf import register
from support import ROOT

MACROS = "".join((ROOT / "macros" / name).read_text(encoding="utf-8") for name in ("settings.sql", "runs.sql"))


def answer(
    model: str, tables: Mapping[str, Sequence[Mapping[str, Any]]], wanted: str, **overrides: Any
) -> list[tuple[Any, ...]]:
    """Return the columns `wanted` of the rows that `models/selection/<model>.sql` makes of `tables`.

    A table is a list of rows with the columns that the model needs; a column that no row has is NULL. Settings are
    those of the profile `sample`, with `overrides` by dotted key (`__` for the dot).
    """
    text = (ROOT / "models" / "selection" / f"{model}.sql").read_text(encoding="utf-8")
    settings = resolve(
        ROOT / "manifest",
        "sample",
        overrides={key.replace("__", "."): value for key, value in overrides.items()},
        environment={},
    )
    rows = [{"key": row.key, "value": row.value} for row in settings.rows]
    sql = jinja2.Environment(autoescape=False).from_string(MACROS + text).render(ref=lambda name: name)
    with duckdb.connect(":memory:") as connection:
        register(connection)
        given = {"calc_settings": rows, "current_run": [{"run_id": "r", "is_sealed": False}], **tables}
        for name, content in given.items():
            _create(connection, name, content)
        return connection.execute(f"select {wanted} from ({sql}) order by all").fetchall()


def _create(connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Create a table of the rows; columns that only the declared types of the project know are NULL."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for column, kind in _declared(name).items():
        columns[column] = pa.array([row.get(column) for row in rows], type=kind)
    for row in rows:
        for column in row:
            if column not in columns:
                columns[column] = pa.array([one.get(column) for one in rows])
    connection.register("given", pa.table(columns))
    connection.execute(f"create table {name} as select * from given")
    connection.unregister("given")


def _declared(name: str) -> dict[str, Any]:
    """The columns that a test may leave out: those that a private model selects for others, all numbers or text."""
    import pyarrow as pa

    number = (
        "momentum survival efficiency entropy hurst adx cvar average_daily_value compounded_60 "
        "absolute_autocorrelation ljung_box_p "
    ) + {
        "atom_measures": "skew tail_gain excess_kurtosis roc spread largest_absolute_return volatility_annual "
        "gap_fraction tick_size lot_size price_precision",
        "atom_factors": "stability liquidity antifragility hurst_clean downside_skew kurtosis fragility penalty",
    }.get(name, "")
    text = [
        "run_id",
        "window_set",
        "atom_id",
        "symbol",
        "logic",
        "direction",
        "identity",
        "regime",
        "quadrant",
        "asset_class",
    ]
    whole = ["window_index", "observation_count", "return_count", "step_count"]
    if name not in ("atom_measures", "atom_factors"):
        return {}
    kinds = {column: pa.float64() for column in number.split()} | {column: pa.string() for column in text}
    return kinds | {column: pa.int32() for column in whole} | {"is_kept": pa.bool_(), "is_benchmark": pa.bool_()}
