"""The feature stage: tables of returns and bars become flat arrays, factors and regimes become tables again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantmill.frames import require_columns, require_sorted_unique

if TYPE_CHECKING:
    import pyarrow as pa

# DuckDB reads batches of this size on as many threads as it has.
BATCH_ROWS = 122_880


def return_factor_table(returns: pa.Table) -> pa.Table:
    """Return symbol, session_date and every factor of `return_factors` for each row of `returns`.

    `returns` has symbol, session_date and simple_return, in the order of symbol and session. NULL where a factor is not
    defined.
    """
    from quantmill.features.factors import return_factors, series_offsets

    require_columns(returns, ("simple_return",), name="daily_returns")
    require_sorted_unique(returns, by=("symbol", "session_date"), name="daily_returns")
    factors = return_factors(_floats(returns, "simple_return"), series_offsets(_codes(returns, "symbol")))
    return _table(returns, ("symbol", "session_date"), factors)


def bar_factor_table(bars: pa.Table) -> pa.Table:
    """Return symbol, session_date and every factor of `bar_factors` for each row of `bars`.

    `bars` has symbol, session_date, high, low, close and close_adjustment, in the order of symbol and session. A bar of
    another adjustment begins a new run: no factor compares prices of two adjustments.
    """
    from quantmill.features.factors import bar_factors, series_offsets

    require_columns(bars, ("high", "low", "close", "close_adjustment"), name="session_bars")
    require_sorted_unique(bars, by=("symbol", "session_date"), name="session_bars")
    runs = series_offsets(_codes(bars, "symbol"), _codes(bars, "close_adjustment"))
    factors = bar_factors(_floats(bars, "high"), _floats(bars, "low"), _floats(bars, "close"), runs)
    return _table(bars, ("symbol", "session_date"), factors)


def technical_rating_table(bars: pa.Table, first: NDArray[np.datetime64] | None = None) -> pa.Table:
    """Return symbol, session_date, known_at_utc, what bars are rated, and every vote (`vote_` and its component).

    `bars` has symbol, session_date, high, low, close, volume, close_adjustment and known_at_utc, in the order of symbol
    and session. With `first`, one date per row, only the rows from that session of their symbol on. A bar of another
    adjustment begins a new run. NULL where a value or a vote is not defined.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.ratings import ABSENT, technical_ratings

    require_columns(bars, ("high", "low", "close", "volume", "close_adjustment", "known_at_utc"), name="session_bars")
    require_sorted_unique(bars, by=("symbol", "session_date"), name="session_bars")
    runs = series_offsets(_codes(bars, "symbol"), _codes(bars, "close_adjustment"))
    high, low, close, volume = (_floats(bars, name) for name in ("high", "low", "close", "volume"))
    found = technical_ratings(high, low, close, volume, runs, threads=os.cpu_count() or 1)
    votes = {f"vote_{name}": pa.array(cast, mask=cast == ABSENT) for name, cast in found.votes.items()}
    table = _table(bars, ("symbol", "session_date", "known_at_utc"), found.columns)
    for name, cast in votes.items():
        table = table.append_column(name, cast)
    if first is not None:
        table = table.filter(pa.array(bars["session_date"].to_numpy() >= first))
    # one large batch would be written by one thread
    return pa.Table.from_batches(table.to_batches(max_chunksize=BATCH_ROWS), schema=table.schema)


def regime_table(members: pa.Table) -> pa.Table:
    """Return one row per asset class and session on which its proxy has five members or more: what `regime_rows` says.

    `members` has asset_class, session_date, symbol, simple_return, liquidity (NULL for none), periods_per_year and
    known_at_utc, in the order of the first three. Beside the regime stand the proxy's return, its number of members,
    the weighting of the rows that were read (equal, liquidity, or mixed) and when the last member's return was known.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.regimes import proxy_returns, regime_rows, window_weightings

    columns = ("simple_return", "liquidity", "periods_per_year", "known_at_utc")
    require_columns(members, columns, name="regime_members")
    require_sorted_unique(members, by=("asset_class", "session_date", "symbol"), name="regime_members")
    classes, sessions = _codes(members, "asset_class"), members["session_date"].to_numpy()
    groups = series_offsets(classes, sessions)
    proxy, weighting = proxy_returns(_floats(members, "simple_return"), _floats(members, "liquidity"), groups)
    kept = np.flatnonzero(weighting != "none")
    first = groups[:-1][kept]
    series = series_offsets(classes[first]) if len(kept) else np.zeros(1, dtype=np.int64)
    known = members["known_at_utc"].to_numpy()
    latest = np.maximum.reduceat(known, groups[:-1])[kept] if len(known) else known
    regimes: dict[str, Any] = dict(regime_rows(proxy[kept], series, _floats(members, "periods_per_year")[first]))
    return _table(
        members.take(pa.array(first)),
        ("asset_class", "session_date"),
        {
            **regimes,
            "proxy_return": proxy[kept],
            "member_count": np.diff(groups)[kept],
            "weighting": window_weightings(weighting[kept], series),
            "known_at_utc": latest,
        },
    )


def _codes(table: pa.Table, column: str) -> NDArray[np.int32]:
    """Return integers that are equal where the texts of `column` are."""
    codes: NDArray[np.int32] = table[column].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return codes


def _floats(table: pa.Table, column: str) -> NDArray[np.float64]:
    """Return a column as floats, NULL as NaN."""
    return np.asarray(table[column].to_numpy(), dtype=np.float64)


def _table(rows: pa.Table, keys: tuple[str, ...], columns: Mapping[str, NDArray[Any]]) -> pa.Table:
    """Return the keys of `rows` beside `columns`; NaN becomes NULL, and columns named `_count` integers."""
    import pyarrow as pa

    arrays = {
        name: pa.array(values.astype(np.int32)) if name.endswith("_count") else pa.array(values, from_pandas=True)
        for name, values in columns.items()
    }
    return pa.table({**{key: rows[key] for key in keys}, **arrays})
