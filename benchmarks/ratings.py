"""Measure the technical ratings of a whole market: from the bars of a table to the tables that people ask.

`python benchmarks/ratings.py [--symbols 3000] [--sessions 1000]` prints seconds per step and the peak memory of the
process. The bars are random walks of a fixed seed, in a database in a temporary folder; making them is not measured.
The steps are those of the models: read in order, rate, write, and select into the public table.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import duckdb

ROOT = Path(__file__).resolve().parents[1]
BARS = """
    create table session_bars as
    with walks as (
        select
            'SIM:S' || lpad(cast(symbol as varchar), 5, '0') as symbol,
            date '2000-01-03' + cast(session as integer) as session_date,
            100 * exp(sum(0.02 * (hash(symbol, session, 1) % 2001 / 1000.0 - 1)) over (
                partition by symbol order by session
            )) as close,
            hash(symbol, session, 2) % 1000 / 50000.0 as up,
            hash(symbol, session, 3) % 1000 / 50000.0 as down,
            cast(1 + hash(symbol, session, 4) % 100000 as double) as volume
        from range(?) as symbols (symbol), range(?) as sessions (session)
    )
    select
        symbol, session_date, close * (1 + up) as high, close * (1 - down) as low, close, volume,
        'none' as close_adjustment, session_date + interval 1 day as known_at_utc
    from walks
    order by symbol, session_date
"""
COLUMNS = "symbol, session_date, high, low, close, volume, close_adjustment, known_at_utc"


def public_query() -> str:
    """Return the SQL of the public model, over the table of this benchmark."""
    text = (ROOT / "models" / "features" / "ratings" / "technical_ratings.sql").read_text(encoding="utf-8")
    return text.replace("{{ ref('calc_ratings') }}", "calc_ratings")


def measure_ratings(symbols: int, sessions: int) -> dict[str, float]:
    """Return the seconds of each step over `symbols` times `sessions` bars, and `peak_mb` of the process."""
    # compiled kernels are kept between builds
    import quantmill.features._windows  # noqa: F401
    from quantmill.stages.features import technical_rating_table

    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="quantmill-bench-") as folder:
        connection = duckdb.connect(str(Path(folder) / "bars.duckdb"))
        connection.execute(BARS, [symbols, sessions])

        def timed(name: str, started: float) -> float:
            seconds[name] = time.perf_counter() - started
            return time.perf_counter()

        clock = time.perf_counter()
        bars = connection.sql("from session_bars").project(COLUMNS).order("symbol, session_date").to_arrow_table()
        clock = timed("read in order", clock)
        rated = technical_rating_table(bars)
        clock = timed("rate", clock)
        connection.execute("create table calc_ratings as select * from rated")
        clock = timed("write private", clock)
        connection.execute(f"create table technical_ratings as {public_query()}")
        timed("write public", clock)
        assert rated.num_rows == symbols * sessions
        connection.close()
    seconds["in all"] = sum(seconds.values())
    seconds["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=3000)
    parser.add_argument("--sessions", type=int, default=1000)
    arguments = parser.parse_args()
    for name, value in measure_ratings(arguments.symbols, arguments.sessions).items():
        print(f"{name:16} {value:9.2f}")


if __name__ == "__main__":
    main()
