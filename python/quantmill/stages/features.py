"""The feature stage: tables of returns and bars become flat arrays, factors and regimes become tables again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantmill.frames import require_columns, require_sorted_unique, sorted_rows

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.features.regimes import RegimeWeights

    Compute = Callable[[pa.Table, NDArray[np.datetime64]], pa.Table]


# Rows of one read: a market of thirty million bars passes through memory in pieces.
BLOCK_ROWS = 500_000
# A change before stands for all there is: work.bar_changes says 0001-01-01 then.
YEAR_OF_FIRST_BARS = 1800
# DuckDB writes what it gets in batches of this size on more than one thread, and one large batch on one.
BATCH_ROWS = 122_880

MOVES = """
    select bars.symbol, bars.session_date, coalesce(bars.total_return_close, bars.close) as close, bars.volume,
        returns.simple_return
    from features.session_bars as bars
    left join features.daily_returns as returns
        on bars.symbol = returns.symbol and bars.session_date = returns.session_date
    where bars.symbol between $first and $last
        and (bars.session_date >= $since or list_contains($sparse::varchar[], bars.symbol))
"""
RATED = """
    select symbol, session_date, high, low, close, volume, close_adjustment, known_at_utc
    from features.session_bars
    where symbol between $first and $last
"""
SESSIONS = """
    select sessions.symbol, sessions.session_date, sessions.session_number, sessions.calendar_id, sessions.close,
        suspects.symbol is not null as is_suspect
    from work.expected_sessions as sessions
    left join (
        select distinct symbol, session_date from features.bar_spikes
        where not is_resolved and symbol between $first and $last
    ) as suspects
        on sessions.symbol = suspects.symbol and sessions.session_date = suspects.session_date
    where sessions.symbol between $first and $last
"""
BARS = """
    select bars.symbol, bars.session_date, bars.session_number, bars.high, bars.low, bars.close, bars.close_adjustment,
        bars.turnover, bars.known_at_utc, bars.calendar_id = '24/7' as is_continuous, returns.simple_return
    from features.session_bars as bars
    left join (select * from features.daily_returns where symbol between $first and $last) as returns
        on bars.symbol = returns.symbol and bars.session_date = returns.session_date
    where bars.symbol between $first and $last
"""


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


def ratings(session: Any, *, read: Sequence[Any]) -> pa.RecordBatchReader:
    """Return the ratings of each session that `features.technical_ratings` lacks.

    `session` is the connection of the build, `read` are relations that only have to be built before.
    """
    return _computed(session, "technical_ratings", "features.session_bars", RATED, technical_rating_table)


def suspect_moves(session: Any, *, read: Sequence[Any]) -> pa.RecordBatchReader:
    """Return symbol, session_date, code and value of each suspect move that `features.bar_spikes` is to get.

    `session` is the connection of the build, `read` are relations that only have to be built before; what the codes
    mean stands in `quantmill.features.health`.
    """
    from quantmill.features.health import BEFORE

    return _computed(session, "bar_spikes", "features.session_bars", MOVES, suspect_move_table, reach=BEFORE)


def session_counts(session: Any, *, read: Sequence[Any]) -> pa.RecordBatchReader:
    """Return what `features.symbol_health` rests on, of each session that it lacks.

    `session` is the connection of the build, `read` are relations that only have to be built before.
    """
    return _computed(session, "symbol_health", "work.expected_sessions", SESSIONS, session_count_table)


def factors(session: Any, *, read: Sequence[Any]) -> pa.RecordBatchReader:
    """Return the factors of each session that `features.factor_history` lacks.

    `session` is the connection of the build, `read` are relations that only have to be built before.
    """
    return _computed(session, "factor_history", "features.session_bars", BARS, factor_table)


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
    wanted = None if first is None else _dates(bars) >= first
    found = technical_ratings(high, low, close, volume, runs, wanted=wanted)
    votes = {f"vote_{name}": pa.array(cast, mask=cast == ABSENT) for name, cast in found.votes.items()}
    rows = bars.select(["symbol", "session_date", "known_at_utc"])
    rows = rows if wanted is None else rows.filter(pa.array(wanted))
    table = _table(rows, ("symbol", "session_date", "known_at_utc"), found.columns)
    for name, cast in votes.items():
        table = table.append_column(name, cast)
    return table


def suspect_move_table(bars: pa.Table, first: NDArray[np.datetime64]) -> pa.Table:
    """Return the suspect moves of `bars` from the session `first` of each row's symbol on.

    `bars` has symbol, session_date, close, volume and simple_return (NULL for none), in the order of symbol and
    session; `first` has one date per row. Rows come by symbol, session and code.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.health import suspect_moves

    require_columns(bars, ("close", "volume", "simple_return"), name="session_bars")
    require_sorted_unique(bars, by=("symbol", "session_date"), name="session_bars")
    found = suspect_moves(
        _floats(bars, "close"), _floats(bars, "volume"), _floats(bars, "simple_return"),
        series_offsets(_codes(bars, "symbol")),
    )  # fmt: skip
    codes = np.concatenate([np.full(len(rows), code) for code, rows, _ in found])
    places = np.concatenate([rows for _, rows, _ in found])
    values = np.concatenate([values for _, _, values in found])
    order = np.lexsort((codes, places))
    order = order[_dates(bars)[places[order]] >= first[places[order]]]
    keys = bars.select(["symbol", "session_date"]).take(pa.array(places[order]))
    return keys.append_column("code", pa.array(codes[order], pa.string())).append_column(
        "value", pa.array(values[order], pa.float64(), from_pandas=True)
    )


def session_count_table(sessions: pa.Table, first: NDArray[np.datetime64]) -> pa.Table:
    """Return what a verdict on each session rests on, from the session `first` of each row's symbol on.

    `sessions` has symbol, session_date, session_number, calendar_id, close (NULL where the session is missing) and
    is_suspect, in the order of symbol and session, without a hole; `first` has one date per row.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.health import session_counts

    require_columns(sessions, ("session_number", "calendar_id", "close", "is_suspect"), name="expected_sessions")
    require_sorted_unique(sessions, by=("symbol", "session_date"), name="expected_sessions")
    is_suspect = np.asarray(sessions["is_suspect"].to_numpy(), dtype=bool)
    counts = session_counts(_floats(sessions, "close"), is_suspect, series_offsets(_codes(sessions, "symbol")))
    kept = _dates(sessions) >= first
    rows = sessions.select(["symbol", "session_date", "session_number", "calendar_id"]).filter(pa.array(kept))
    for name, values in counts.items():
        rows = rows.append_column(name, pa.array(values[kept].astype(np.int32)))
    return rows


def factor_table(bars: pa.Table, first: NDArray[np.datetime64] | None = None) -> pa.Table:
    """Return symbol, session_date and every factor of each row of `bars` with a return, NULL where it is not defined.

    `bars` has symbol, session_date, session_number, high, low, close, close_adjustment, turnover, known_at_utc,
    is_continuous (it trades around the clock) and simple_return, in the order of symbol and session. With `first`, one
    date per row, only the rows from that session of their symbol on. A bar of another adjustment begins a new run of
    prices: no factor compares prices of two adjustments.
    """
    import pyarrow as pa

    from quantmill.features.factors import (
        HISTORY,
        bar_factors,
        missing_shares,
        return_factors,
        series_offsets,
        trading_facts,
    )

    needed = ("session_number", "high", "low", "close", "close_adjustment", "turnover", "known_at_utc", "is_continuous")
    require_columns(bars, (*needed, "simple_return"), name="session_bars")
    require_sorted_unique(bars, by=("symbol", "session_date"), name="session_bars")
    symbols, close = _codes(bars, "symbol"), _floats(bars, "close")
    offsets, runs = series_offsets(symbols), series_offsets(symbols, _codes(bars, "close_adjustment"))
    returns = _floats(bars, "simple_return")
    is_row = ~np.isnan(returns)
    is_wanted = is_row if first is None else is_row & (_dates(bars) >= first)
    of_prices = bar_factors(_floats(bars, "high"), _floats(bars, "low"), close, runs)
    liquidity, equal_closes = trading_facts(close, _floats(bars, "turnover"), offsets)
    shares = missing_shares(bars["session_number"].to_numpy().astype(np.int64), is_row, offsets)

    # windows reach back at most HISTORY rows: of earlier returns nothing is read
    rows = np.flatnonzero(is_row)
    wanted = is_wanted[rows]
    series = np.searchsorted(offsets, rows, side="right")
    begins = np.searchsorted(series, series, side="left")
    places = np.arange(len(rows))
    following = np.append(np.flatnonzero(wanted), len(rows))[np.searchsorted(np.flatnonzero(wanted), places)]
    is_read = (following < len(rows)) & (following - places < HISTORY)
    is_read &= series[np.minimum(following, len(rows) - 1)] == series if len(rows) else is_read
    found = return_factors(returns[rows[is_read]], series_offsets(series[is_read]), wanted[is_read])
    kept = wanted[is_read]
    places, rows = places[wanted], rows[wanted]
    earlier = np.where(places > begins[wanted], liquidity[np.flatnonzero(is_row)[np.maximum(places - 1, 0)]], np.nan)
    is_continuous = np.asarray(bars["is_continuous"].to_numpy(), dtype=bool)[rows]
    return _table(
        bars.select(["symbol", "session_date", "known_at_utc"]).take(pa.array(rows)),
        ("symbol", "session_date", "known_at_utc"),
        {
            **{name: values[kept] for name, values in found.items()},
            **{name: values[rows] for name, values in of_prices.items()},
            "average_daily_value": liquidity[rows],
            "earlier_daily_value": earlier,
            "equal_close_count": equal_closes[rows],
            "gap_fraction": shares[rows],
            "periods_per_year": np.where(is_continuous, 365.0, 252.0),
        },
    )


def market_proxies(session: Any, *, read: Sequence[Any]) -> pa.RecordBatchReader:
    """Return the proxy of each asset class on each session that `work.market_proxies` lacks.

    `session` is the connection of the build, `read` are relations that only have to be built before. A session is made
    anew as a whole, whichever of its members changed.
    """
    days = session.execute(
        """
        select session_date, count(*) from features.daily_returns
        where session_date >= (select min(first_changed_date) from work.pending_changes('market_proxies'))
        group by session_date order by session_date
        """
    ).fetchall()
    query = """
        select asset_class, session_date, symbol, simple_return, liquidity, periods_per_year, known_at_utc
        from work.regime_members where session_date between $first and $last
    """
    return _reader(session, query, ("asset_class", "session_date", "symbol"), days, proxy_table)


def proxy_table(members: pa.Table) -> pa.Table:
    """Return one row per asset class and session with five members or more: what `proxy_returns` says of them.

    `members` has asset_class, session_date, symbol, simple_return, liquidity (NULL for none), periods_per_year and
    known_at_utc, in the order of the first three. Beside the proxy's return stand its number of members, how they were
    weighted (equal, liquidity) and when the last member's return was known.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.regimes import proxy_returns

    columns = ("simple_return", "liquidity", "periods_per_year", "known_at_utc")
    require_columns(members, columns, name="regime_members")
    require_sorted_unique(members, by=("asset_class", "session_date", "symbol"), name="regime_members")
    groups = series_offsets(_codes(members, "asset_class"), _dates(members))
    proxy, weighting = proxy_returns(_floats(members, "simple_return"), _floats(members, "liquidity"), groups)
    kept = np.flatnonzero(weighting != "none")
    known = members["known_at_utc"].to_numpy()
    latest = np.maximum.reduceat(known, groups[:-1])[kept] if len(known) else known
    return _table(
        members.take(pa.array(groups[:-1][kept])),
        ("asset_class", "session_date"),
        {
            "proxy_return": proxy[kept],
            "member_count": np.diff(groups)[kept],
            "weighting": weighting[kept].astype(str),
            "periods_per_year": _floats(members, "periods_per_year")[groups[:-1][kept]],
            "known_at_utc": latest,
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


def regime_table(proxies: pa.Table, weights: pa.Table) -> pa.Table:
    """Return what `regime_rows` says of each row of `proxies`, beside its proxy_return, member_count and known_at_utc.

    `proxies` has what `proxy_table` returns, in the order of asset class and session; `weights` one row per asset class
    (`other`: those without one) with the weights of the sub-scores, tuned_from and tuned_to (NULL: not tuned). Beside
    the regime stand the state of volatility, the weighting of the rows that were read (equal, liquidity, or mixed) and
    the span that the weights were tuned on.
    """
    import pyarrow as pa

    from quantmill.features.factors import series_offsets
    from quantmill.features.regimes import regime_rows, volatility_states, window_weightings

    columns = ("proxy_return", "member_count", "weighting", "periods_per_year", "known_at_utc")
    require_columns(proxies, columns, name="market_proxies")
    require_sorted_unique(proxies, by=("asset_class", "session_date"), name="market_proxies")
    series = series_offsets(_codes(proxies, "asset_class"))
    returns = _floats(proxies, "proxy_return")
    by_class = {row["asset_class"]: row for row in weights.to_pylist()}
    names = proxies["asset_class"].take(pa.array(series[:-1])).to_pylist()
    chosen = [by_class.get(name, by_class["other"]) for name in names]
    probability, states = volatility_states(returns, series)
    regimes: dict[str, Any] = dict(
        regime_rows(
            returns,
            series,
            _floats(proxies, "periods_per_year"),
            states=states,
            weights=[_weights(row) for row in chosen],
        )
    )
    tuned = {
        name: np.repeat(np.array([row[name] for row in chosen], dtype="datetime64[D]"), np.diff(series))
        for name in ("tuned_from", "tuned_to")
    }
    weighting = np.asarray(proxies["weighting"].to_numpy(), dtype=str)
    return _table(
        proxies,
        ("asset_class", "session_date"),
        {
            **regimes,
            "volatility_state": _texts(states),
            "high_volatility_probability": probability,
            "proxy_return": returns,
            "member_count": proxies["member_count"].to_numpy(),
            "weighting": window_weightings(weighting, series),
            "known_at_utc": proxies["known_at_utc"].to_numpy(),
            **tuned,
        },
    )


def _computed(
    session: Any, follower: str, source: str, query: str, compute: Compute, *, reach: int | None = None
) -> pa.RecordBatchReader:
    """Return what `compute` makes of `query`, symbol by symbol, for the sessions that the model `follower` lacks.

    `source` is the relation whose rows are counted and divided into blocks. Histories of symbols that changed are read
    as a whole: what remembers its past, such as a smoothed average, comes out as in a build of everything. What reads
    `reach` rows before its own, and no more, reads those: its query says with `$since` and `$sparse` where.
    """
    changes = dict(
        session.execute("select symbol, first_changed_date from work.pending_changes(?)", [follower]).fetchall()
    )
    recent = {} if reach is None else _recent(session, source, changes, reach)
    counts = session.execute(f"select symbol, count(*) from {source} group by symbol order by symbol").fetchall()

    def since(rows: pa.Table) -> pa.Table:
        listed = rows["symbol"].combine_chunks().dictionary_encode()
        first = [np.datetime64(changes.get(symbol, date.max), "D") for symbol in listed.dictionary.to_pylist()]
        places = listed.indices.to_numpy(zero_copy_only=False)
        return compute(rows, np.array(first, dtype="datetime64[D]")[places])

    asked = [one for one in counts if one[0] in changes]
    return _reader(session, query, ("symbol", "session_date"), asked, since, parameters=recent)


def _recent(session: Any, source: str, changes: Mapping[str, date], reach: int) -> dict[str, Any]:
    """Return the date `since` which at least `reach` rows stand before the first change of each symbol, and the symbols
    that are too `sparse` for that: these are read as a whole.
    """
    whole = [symbol for symbol, changed in changes.items() if changed.year < YEAR_OF_FIRST_BARS]
    if len(whole) == len(changes):
        return {"since": date.min, "sparse": []}
    first = min(changed for changed in changes.values() if changed.year >= YEAR_OF_FIRST_BARS)
    since = first - timedelta(days=4 * reach)
    rows = session.execute(
        f"""
        select symbol from {source} where session_date < $first
        group by symbol having count(*) > count(*) filter (where session_date >= $since)
            and count(*) filter (where session_date >= $since) < $reach
        """,
        {"first": first, "since": since, "reach": reach},
    ).fetchall()
    return {"since": since, "sparse": [*whole, *(symbol for (symbol,) in rows)]}


def _reader(
    session: Any,
    query: str,
    order: tuple[str, ...],
    counts: Sequence[tuple[Any, int]],
    compute: Callable[[pa.Table], pa.Table],
    *,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> pa.RecordBatchReader:
    """Return the batches that `compute` makes of `query`, block by block of the ascending keys of `counts`.

    The rows of a block reach `compute` ordered by the columns `order`. Two blocks are computed while the one before is
    written; each reads through a cursor of its own.
    """
    import pyarrow as pa

    def block(first: Any, last: Any) -> list[pa.RecordBatch]:
        rows = session.cursor().execute(query, {"first": first, "last": last, **parameters}).to_arrow_table()
        batches: list[pa.RecordBatch] = (
            compute(sorted_rows(rows, by=order)).combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
        )
        return batches

    # without a row, the names and kinds of the columns are still told
    empty = session.execute(f"from ({query}) limit 0", {"first": None, "last": None, **parameters}).to_arrow_table()
    schema = compute(empty).schema
    blocks = list(_blocks(counts))

    def batches() -> Iterator[pa.RecordBatch]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            ahead = deque(pool.submit(block, *one) for one in blocks[:2])
            for following in [*blocks[2:], None, None]:
                if not ahead:
                    return
                found = ahead.popleft().result()
                if following:
                    ahead.append(pool.submit(block, *following))
                yield from found

    return pa.RecordBatchReader.from_batches(schema, batches())


def _blocks(counts: Sequence[tuple[Any, int]]) -> Iterator[tuple[Any, Any]]:
    """Divide ascending keys with their numbers of rows into blocks of BLOCK_ROWS or little more: first and last key."""
    first, rows = None, 0
    for key, count in counts:
        first = key if first is None else first
        rows += count
        if rows >= BLOCK_ROWS:
            yield first, key
            first, rows = None, 0
    if first is not None:
        yield first, counts[-1][0]


def _dates(table: pa.Table) -> NDArray[np.datetime64]:
    """Return the session dates of the rows."""
    return np.asarray(table["session_date"].to_numpy(), dtype="datetime64[D]")


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
