"""A small market in DuckDB: a few symbols, two calendars, 790 days, in tables that have the contracts' columns."""

from __future__ import annotations

from datetime import datetime

import duckdb
import yaml
from quantmill.quality.subjects import Subject
from support import ROOT

SUBJECT = Subject("small", "strict", datetime(2022, 1, 30), ("BINANCE:C", "NYSE:A", "NYSE:B"), "present")
TABLES = (
    "bar_gaps", "bar_spikes", "bar_verdicts", "daily_returns", "execution_limits", "factor_history", "market_calendar",
    "metadata_coverage", "scan_candidates", "session_bars", "symbol_health", "symbols", "vendor_features",
)  # fmt: skip

FILL = """
insert into features.market_calendar by name
with days as (select cast(unnest(generate_series(date '2020-01-01', date '2022-02-28', interval 1 day)) as date) as day)
select '24/7' as calendar_id, day as session_date, row_number() over (order by day) as session_number,
    cast(day as timestamp) as open_utc, cast(day as timestamp) + interval 1 day as close_utc, false as is_half_day
from days
union all
select 'XNYS', day, row_number() over (order by day), day + interval 14 hour, day + interval 21 hour, false
from days where isodow(day) <= 5;

insert into features.symbols by name
select symbol, asset_class, 'exchange' as venue_class, symbol as economic_id, calendar_id, timezone,
    timestamp '2019-01-01' as valid_from, true as is_backfilled
from (values ('NYSE:A', 'equity', 'XNYS', 'America/New_York'), ('NYSE:B', 'etf', 'XNYS', 'America/New_York'),
    ('BINANCE:C', 'crypto', '24/7', 'UTC'), ('NYSE:OTHER', 'equity', 'XNYS', 'America/New_York'))
    as listed (symbol, asset_class, calendar_id, timezone);

insert into features.session_bars by name
select symbol, session_date, session_number, calendar_id, close_utc as known_at_utc,
    0.99 * price as open, 1.02 * price as high, 0.96 * price as low, price as close,
    1000.0 + session_number + ascii(symbol[-1]) as volume, 'none' as close_adjustment, 'test' as source,
    'load' as load_id, symbol as landed_symbol, false as is_late_revision
from (
    select *, 100 + ascii(symbol[-1]) + 10 * sin(0.7 * session_number + ascii(symbol[-1])) as price
    from features.symbols join features.market_calendar using (calendar_id)
);

insert into features.daily_returns by name
select symbol, session_date, close / previous - 1 as simple_return, false as is_total_return, 1 as session_count,
    known_at_utc
from (select *, lag(close) over (partition by symbol order by session_date) as previous from features.session_bars)
where previous is not null;

insert into features.bar_verdicts by name
select symbol, landed_symbol, session_date, cast(session_date as timestamp) as opened_at_utc, 'ACCEPTED' as verdict,
    known_at_utc as close_utc, known_at_utc + interval 1 hour as received_at_utc
from features.session_bars;

insert into features.factor_history by name
select symbol, session_date, 'daily_252' as factor_set, 0.4 as efficiency, 0.9 as entropy, 0.5 as hurst,
    0.5 as survival, known_at_utc
from features.session_bars;

insert into features.execution_limits by name
select symbol, 'V' as venue, 0.01 as tick_size, 1.0 as lot_size, 1.0 as step_size, 0.0 as min_notional,
    'exchange' as source, timestamp '2019-01-01' as valid_from
from features.symbols;

insert into features.scan_candidates by name
select 'scan' as load_id, timestamp '2022-01-29' as scanned_at_utc, 'scanner' as scanner_id, symbol,
    'spot' as venue_class, true as is_kept
from features.symbols;

insert into features.metadata_coverage by name
select 'scanner' as scanner_id, symbol, 'scan' as load_id, timestamp '2022-01-29' as scanned_at_utc, true as is_covered
from features.symbols;

insert into features.vendor_features by name
select symbol, timestamp '2022-01-29' as observed_at_utc, '1d' as timeframe, feature, 0.5 as value,
    'OK' as status, date '2022-01-28' as session_date
from features.symbols, (select unnest(['recommend_all', 'rsi', 'volatility_d']) as feature);

insert into features.symbol_health by name
select symbol, session_date as as_of_date, 'OK' as verdict, '' as reasons, 1 as expected_sessions,
    0 as missing_sessions, session_date as last_session_date
from features.session_bars;
"""


def small_market() -> duckdb.DuckDBPyConnection:
    """Return a connection to the market. No constraint stands in the way of planting what the contracts forbid."""
    connection = duckdb.connect(":memory:")
    connection.execute("create schema features; create schema ops")
    for name in TABLES:
        path = next((ROOT / "models" / "features").rglob(f"{name}.yml"))
        columns = yaml.safe_load(path.read_text(encoding="utf-8"))["models"][0]["columns"]
        listed = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in columns)
        connection.execute(f"create table features.{name} ({listed})")
    connection.execute("create table ops.snapshots (snapshot_id varchar, created_at_utc timestamp)")
    connection.execute("insert into ops.snapshots values ('snapshot', timestamp '2022-01-31')")
    connection.execute(FILL)
    return connection
