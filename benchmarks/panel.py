"""Measure the data cycle over a synthetic warehouse: every model of it, its seconds and its memory.

    python benchmarks/panel.py make HOME [--symbols 3000] [--sessions 1000]     3 million bars; not measured
    python benchmarks/panel.py build HOME                                       a first build, then one of no change
    python benchmarks/panel.py day HOME                                         one more session lands, and is built
    python benchmarks/panel.py factors HOME                                     all windowed factors, computed anew
    python benchmarks/panel.py quality HOME                                     the quality gate over all symbols
    python benchmarks/panel.py plain HOME                                       a plain windowed panel, in SQL alone

`HOME` takes the place of QUANTMILL_HOME. Thirty million bars are `--sessions 10000`: nobody has measured them yet, and
`make bench` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
LAST = date(2026, 1, 28)
# Three of four trade at the New York exchanges, one around the clock.
KINDS = (("NYSE", "XNYS"), ("NASDAQ", "XNYS"), ("AMEX", "XNYS"), ("BINANCE", "24/7"))
BLOCK = 100


def symbols_of(count: int) -> list[tuple[str, str]]:
    """Return `count` symbols with their calendars, ascending."""
    named = []
    for n in range(count):
        exchange, calendar = KINDS[n % len(KINDS)]
        named.append((f"{exchange}:S{n:05}USDT" if calendar == "24/7" else f"{exchange}:S{n:05}", calendar))
    return sorted(named)


def sessions_of(calendar: str, count: int) -> np.ndarray:
    """Return the last `count` session dates of a calendar up to the end of the benchmark."""
    import exchange_calendars

    first = LAST - timedelta(days=int(count * 1.5) + 30)
    found = exchange_calendars.get_calendar(calendar, start=str(first), end=str(LAST + timedelta(days=10)))
    dates = found.sessions.to_numpy().astype("datetime64[D]")
    return dates[dates <= np.datetime64(LAST)][-count:]


def make(home: Path, symbol_count: int, session_count: int) -> None:
    """Write a workbench of random walks: every hundredth bar is missing for every tenth symbol, some were revised."""
    import duckdb
    import pyarrow as pa

    from ingest.schema import create_tables

    path = home / "data" / "warehouse.duckdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listed = symbols_of(symbol_count)
    opens = {calendar: _opens(sessions_of(calendar, session_count), calendar) for calendar in ("XNYS", "24/7")}
    with duckdb.connect(str(path)) as connection:
        connection.execute("set TimeZone = 'UTC'")
        create_tables(connection)
        connection.execute("begin")
        for start in range(0, symbol_count, BLOCK):
            block = listed[start : start + BLOCK]
            random = np.random.default_rng(start)
            steps = random.normal(0.0002, 0.02, (len(block), session_count)).clip(-0.1, 0.1)
            close = 20 * np.exp(np.cumsum(steps - steps.mean(axis=1, keepdims=True), axis=1))
            spread = random.uniform(0.001, 0.02, close.shape)
            opened = np.concatenate([opens[calendar] for _, calendar in block])
            is_kept = np.ones(close.shape, dtype=bool)
            is_kept[::10, 99::100] = False
            rows = pa.table(  # noqa: F841 - DuckDB finds it by its name
                {
                    "symbol": pa.array(np.repeat([symbol for symbol, _ in block], session_count)),
                    "opened": opened,
                    "open": (close * (1 - spread / 4)).ravel(),
                    "high": (close * (1 + spread)).ravel(),
                    "low": (close * (1 - spread)).ravel(),
                    "close": close.ravel(),
                    "volume": random.uniform(1e5, 1e6, close.size),
                    "is_kept": is_kept.ravel(),
                }
            )
            connection.execute(
                """
                insert into raw.bars
                select '20260129T000000000000Z-00000001', 'bench', symbol, '1d', 'none', opened, open, high, low, close,
                    volume, null, true, timestamp '2026-01-29 06:00:00'
                from rows where is_kept
                """
            )
        # a revision of every thousandth bar
        connection.execute(
            """
            insert into raw.bars
            select * replace ('20260129T000000000001Z-00000002' as load_id, close * 1.0001 as close,
                high * 1.0001 as high, received_at_utc + interval 1 hour as received_at_utc)
            from raw.bars where hash(symbol, opened_at_utc) % 1000 = 0
            """
        )
        connection.executemany(
            "insert into raw.symbol_metadata values ('20260129T000000000002Z-00000003', ?, ?, ?, ?)",
            [
                [number, symbol, json.dumps({"type": "spot" if calendar == "24/7" else "stock"}), datetime(2026, 1, 29)]
                for number, (symbol, calendar) in enumerate(listed, start=1)
            ],
        )
        connection.execute(
            "insert into ops.snapshots values ('20260129-00000000', '20260129T000000000002Z-00000003', '0',"
            " timestamp '2026-01-29 07:00:00')"
        )
        connection.execute("commit")
        bars = connection.execute("select count(*) from raw.bars").fetchall()[0][0]
    print(f"{bars:,} landed bar values of {symbol_count:,} symbols in {path}")


def _opens(sessions: np.ndarray, calendar: str) -> np.ndarray:
    """Return the local midnights of dated bars, UTC microseconds; five in the morning is the date in New York."""
    hours = np.timedelta64(0 if calendar == "24/7" else 5, "h")
    return sessions.astype("datetime64[us]") + hours


def land_day(home: Path) -> None:
    """Land one more bar of every symbol: that of the session after its calendar's newest."""
    import duckdb
    import exchange_calendars

    following = {}
    with duckdb.connect(str(home / "data" / "warehouse.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for calendar in ("XNYS", "24/7"):
            is_crypto = "symbol like 'BINANCE:%'"
            newest = connection.execute(
                f"select max(opened_at_utc)::date from raw.bars where ({is_crypto}) = ?", [calendar == "24/7"]
            ).fetchall()[0][0]
            found = exchange_calendars.get_calendar(calendar, start="2025-01-01", end="2027-12-31")
            following[calendar] = _opens(
                found.sessions[found.sessions > str(newest)][:1].to_numpy().astype("datetime64[D]"), calendar
            )[0].item()
        connection.execute(
            """
            insert into raw.bars
            select '20260201T000000000000Z-' || lpad(cast(landed.loads as varchar), 8, '0'), 'bench', symbol, '1d',
                'none',
                case when symbol like 'BINANCE:%' then $crypto else $listed end,
                last.open, last.high, last.low, last.close, last.volume, null, true,
                timestamp '2026-02-01 06:00:00' + to_days(cast(landed.loads as integer))
            from (select symbol, arg_max(bars, opened_at_utc) as last from raw.bars as bars group by symbol)
            cross join (select count(distinct load_id) as loads from raw.bars) as landed
            """,
            {"crypto": following["24/7"], "listed": following["XNYS"]},
        )


def environment_of(home: Path) -> dict[str, str]:
    """Return an environment whose state, parse cache and compiled kernels lie in `home`."""
    return {
        **os.environ,
        "QUANTMILL_HOME": str(home),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
        "DO_NOT_TRACK": "1",
    }


def run_dbt(home: Path, *arguments: str) -> tuple[float, float]:
    """Run dbt in a process of its own and return its seconds, start included, and its peak of memory in GB.

    Prints these, and the seconds and memory of each model, the dearest first.
    """
    started = time.perf_counter()
    result = subprocess.run(
        [sys.executable, __file__, "dbt", str(home), *arguments],
        cwd=ROOT, env=environment_of(home), check=False, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if result.returncode:
        raise SystemExit(result.stdout[-4000:])
    found = json.loads(result.stdout.splitlines()[-1])
    print(
        f"dbt {' '.join(arguments)[:100]}: {seconds:.1f} s with the start,"
        f" {found['processor']:.1f} s of processor, peak {found['peak'] / 2**30:.2f} GB"
    )
    for name, (start, end, peak, used) in sorted(found["models"].items(), key=lambda item: item[1][0] - item[1][1]):
        if end - start >= 0.1:
            print(
                f"  {name[:50]:<50} {end - start:7.2f} s {used:7.2f} s of processor, at {start:6.1f} s"
                f" {peak / 2**30:5.2f} GB"
            )
    return seconds, found["peak"] / 2**30


def dbt(arguments: Sequence[str]) -> int:
    """Be the process that builds: memory is sampled while dbt runs, and dbt's events say which node was running."""
    from dbt.cli.main import dbtRunner

    page = os.sysconf("SC_PAGE_SIZE")
    running: dict[str, list[float]] = {}
    finished: dict[str, list[float]] = {}
    state: dict[str, Any] = {"peak": 0, "is_over": False}
    zero = time.perf_counter()

    def sample() -> None:
        while not state["is_over"]:
            used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page
            state["peak"] = max(state["peak"], used)
            for node in list(running.values()):
                node[2] = max(node[2], used)
            time.sleep(0.02)

    def hear(event: Any) -> None:
        if event.info.name == "NodeStart":
            running[event.data.node_info.unique_id] = [time.perf_counter() - zero, 0.0, 0.0, -time.process_time()]
        elif event.info.name == "NodeFinished":
            node = running.pop(event.data.node_info.unique_id)
            node[1] = time.perf_counter() - zero
            node[3] += time.process_time()
            finished[event.data.node_info.unique_id.replace(".quantmill.", " ")] = node
        elif event.info.level == "error":
            print(event.info.msg)

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    result = dbtRunner(callbacks=[hear]).invoke(
        ["--quiet", *arguments, "--project-dir", str(ROOT), "--profiles-dir", str(ROOT)]
    )
    state["is_over"] = True
    sampler.join()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"peak": state["peak"], "models": finished, "processor": used.ru_utime + used.ru_stime}))
    return 0 if result.success else 1


def compute_factors(home: Path) -> None:
    """Time the factors of every row, read from the built bars and returned as Arrow batches, and their writing."""
    import duckdb
    from quantmill.stages.features import factors

    with duckdb.connect(str(home / "data" / "warehouse.duckdb")) as connection:
        connection.execute("begin")
        connection.execute("delete from work.built_models where model = 'factor_history'")
        connection.execute("commit")
        for what in ("compiled or loaded, and computed", "computed"):
            started = time.perf_counter()
            rows = sum(batch.num_rows for batch in factors(connection, read=()))
            print(f"factors of {rows:,} rows, {what}: {time.perf_counter() - started:.1f} s")
        started = time.perf_counter()
        batches = factors(connection, read=())  # noqa: F841 - DuckDB finds it by its name
        connection.execute("create or replace temp table written as select * from batches")
        print(f"factors computed and written: {time.perf_counter() - started:.1f} s")


# Returns, volatility of 20, 60 and 252 returns, momentum, the highest high of 252 bars and the mean value of 30.
PLAIN = """
    create or replace temp table panel as
    with returns as (
        select
            symbol,
            session_date,
            high,
            turnover,
            close / lag(close) over by_session - 1 as simple_return,
            close / lag(close, 252) over by_session - 1 as momentum_252
        from features.session_bars
        window by_session as (partition by symbol order by session_date)
    )

    select
        symbol,
        session_date,
        simple_return,
        momentum_252,
        stddev_samp(simple_return) over last_20 as volatility_20,
        stddev_samp(simple_return) over last_60 as volatility_60,
        stddev_samp(simple_return) over last_252 as volatility_252,
        max(high) over last_252 as high_252,
        avg(turnover) over last_30 as value_30
    from returns
    window
        last_20 as (partition by symbol order by session_date rows between 19 preceding and current row),
        last_30 as (partition by symbol order by session_date rows between 29 preceding and current row),
        last_60 as (partition by symbol order by session_date rows between 59 preceding and current row),
        last_252 as (partition by symbol order by session_date rows between 251 preceding and current row)
"""


def compute_plain(home: Path) -> float:
    """Return the seconds of a plain windowed panel over the built bars, in SQL alone."""
    import duckdb

    with duckdb.connect(str(home / "data" / "warehouse.duckdb"), read_only=True) as connection:
        started = time.perf_counter()
        connection.execute(PLAIN)
        seconds = time.perf_counter() - started
    print(f"plain windowed panel: {seconds:.1f} s")
    return seconds


def judge(home: Path) -> float:
    """Return the seconds of the quality gate over every symbol, with the import of Great Expectations."""
    import duckdb

    with duckdb.connect(str(home / "data" / "warehouse.duckdb"), read_only=True) as connection:
        symbols = [
            symbol for (symbol,) in connection.execute("select distinct symbol from features.symbols").fetchall()
        ]
    settings = {"universe.symbols": symbols, "as_of": "2026-02-01T00:00:00Z", "quality.gate": "report"}
    pairs = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    started = time.perf_counter()
    command = [sys.executable, "-m", "quantmill", "quality", "--profile", "sample", *pairs]
    done = subprocess.run(command, cwd=ROOT, env=environment_of(home), check=False, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stdout[-4000:])
    print(f"{done.stdout[-1500:]}quality gate over {len(symbols):,} symbols: {seconds:.1f} s")
    return seconds


DATA_CYCLE = ("build", "--selector", "data_cycle", "--exclude-resource-type", "unit_test")


def main() -> None:
    """Do what the command line asks for."""
    if sys.argv[1:2] == ["dbt"]:
        sys.exit(dbt(sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "build", "day", "factors", "quality", "plain"))
    parser.add_argument("home", type=Path)
    parser.add_argument("--symbols", type=int, default=3000)
    parser.add_argument("--sessions", type=int, default=1000)
    options = parser.parse_args()
    home = options.home.resolve()
    if options.what == "make":
        make(home, options.symbols, options.sessions)
    elif options.what == "build":
        run_dbt(home, *DATA_CYCLE)
        run_dbt(home, *DATA_CYCLE)
    elif options.what == "day":
        land_day(home)
        run_dbt(home, *DATA_CYCLE)
    elif options.what == "factors":
        compute_factors(home)
    elif options.what == "quality":
        judge(home)
    elif options.what == "plain":
        compute_plain(home)


if __name__ == "__main__":
    main()
