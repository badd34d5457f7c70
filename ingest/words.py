"""Loads that hold what people said: a suspect move is real, a series is released, a symbol was renamed.

A word is a row of JSON in `raw.resolutions` or `raw.symbol_aliases`, immutable like all that lands; the newest of its
key counts. Words never change rows that are stored: they change what is judged after them, and the registry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest import registry
from ingest.landing import Landing, Load, canonical_json, utc_moment

if TYPE_CHECKING:
    import duckdb

# What tells two words of a kind apart, beside their symbol.
_KEYS: Mapping[str, tuple[str, ...]] = {"resolutions": ("session_date", "code"), "symbol_aliases": ()}
WORD_KINDS = tuple(_KEYS)


def insert_words(connection: duckdb.DuckDBPyConnection, landing: Landing, load: Load) -> tuple[int, int, int]:
    """Store the words of a load that say something else than the newest one of the same key, and heed them.

    Returns how many of its rows are new, identical and superseding.
    """
    given: list[dict[str, Any]] = json.loads(landing.payload(load))
    table, key = f"raw.{load.kind}", _KEYS[load.kind]
    at = utc_moment(load.received_at).replace(tzinfo=None)
    same = "".join(f" and (payload ->> '{name}') = ?" for name in key)
    counts = {"new": 0, "identical": 0, "superseding": 0}
    for number, row in enumerate(given, start=1):
        text = canonical_json(row)
        stored = connection.execute(
            f"""
            select payload from {table} where symbol = ?{same}
            order by received_at_utc desc, load_id desc, row_number desc limit 1
            """,
            [row["symbol"], *(row[name] for name in key)],
        ).fetchone()
        fate = "new" if stored is None else "identical" if stored[0] == text else "superseding"
        counts[fate] += 1
        if fate != "identical":
            connection.execute(
                f"insert into {table} values (?, ?, ?, ?, ?)", [load.load_id, number, row["symbol"], text, at]
            )
    _heed(connection, load, given)
    return counts["new"], counts["identical"], counts["superseding"]


def _heed(connection: duckdb.DuckDBPyConnection, load: Load, given: Sequence[Mapping[str, Any]]) -> None:
    """Bring the registry to what the words say."""
    at = utc_moment(load.finished_at)
    if load.kind == "symbol_aliases":
        registry.note_renamed(connection, [row["symbol"] for row in given], at)
        return
    released = {row["symbol"]: str(row.get("by")) for row in given if row["code"] == "TOXIC"}
    if released:
        registry.note_released(connection, released, at)
