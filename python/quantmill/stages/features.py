"""The feature stage: tables of returns and bars become flat arrays, factors and regimes become tables again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantmill.frames import require_columns, require_sorted_unique

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.features.regimes import RegimeWeights


def index_member_table() -> pa.Table:
    """Return index_id, symbol, valid_from and valid_to (NULL while it lasts) of every table of manifest/indices."""
    import pyarrow as pa

    from quantmill.manifest.acquisition import load_indices
    from quantmill.manifest.home import current_home

    members = load_indices(current_home().manifest)
    return pa.table(
        {
            "index_id": pa.array([one.index_id for one in members], pa.string()),
            "symbol": pa.array([one.symbol for one in members], pa.string()),
            "valid_from": pa.array([one.valid_from for one in members], pa.date32()),
            "valid_to": pa.array([one.valid_to for one in members], pa.date32()),
        }
    )


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


def regime_table(members: pa.Table, weights: pa.Table) -> pa.Table:
    """Return one row per asset class and session on which its proxy has five members or more: what `regime_rows` says.

    `members` has asset_class, session_date, symbol, simple_return, liquidity (NULL for none), periods_per_year and
    known_at_utc, in the order of the first three; `weights` one row per asset class (`other`: those without one) with
    the weights of the sub-scores, tuned_from and tuned_to (NULL: not tuned). Beside the regime stand the state of
    volatility, the proxy's return, its number of members, the weighting of the rows that were read (equal, liquidity,
    or mixed), when the last member's return was known, and the span that the weights were tuned on.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.regimes import proxy_returns, regime_rows, volatility_states, window_weightings

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
    by_class = {row["asset_class"]: row for row in weights.to_pylist()}
    names = members["asset_class"].take(pa.array(first[series[:-1]])).to_pylist() if len(kept) else []
    chosen = [by_class.get(name, by_class["other"]) for name in names]
    probability, states = volatility_states(proxy[kept], series)
    regimes: dict[str, Any] = dict(
        regime_rows(
            proxy[kept],
            series,
            _floats(members, "periods_per_year")[first],
            states=states,
            weights=[_weights(row) for row in chosen],
        )
    )
    tuned = {
        name: np.repeat(np.array([row[name] for row in chosen], dtype="datetime64[D]"), np.diff(series))
        for name in ("tuned_from", "tuned_to")
    }
    return _table(
        members.take(pa.array(first)),
        ("asset_class", "session_date"),
        {
            **regimes,
            "volatility_state": _texts(states),
            "high_volatility_probability": probability,
            "proxy_return": proxy[kept],
            "member_count": np.diff(groups)[kept],
            "weighting": window_weightings(weighting[kept], series),
            "known_at_utc": latest,
            **tuned,
        },
    )


def _weights(row: Mapping[str, Any]) -> RegimeWeights:
    """Return the weights of one row of the table of weights."""
    from quantmill.features.regimes import RegimeWeights

    return RegimeWeights(**{name: row[name] for name in RegimeWeights.__dataclass_fields__})


def _texts(values: NDArray[np.str_]) -> NDArray[np.object_]:
    """Return texts as objects, None for an empty one."""
    found = values.astype(object)
    found[values == ""] = None
    return found


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

    def array(name: str, values: NDArray[Any]) -> pa.Array:
        if name.endswith("_count"):
            return pa.array(values.astype(np.int32))
        # texts with None among them are objects, and without rows they would have no type
        return pa.array(values, pa.string() if values.dtype == object else None, from_pandas=True)

    arrays = {name: array(name, values) for name, values in columns.items()}
    return pa.table({**{key: rows[key] for key in keys}, **arrays})
