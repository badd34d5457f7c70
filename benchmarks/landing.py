"""Measure the landing: three million bars from one Parquet file, and the recheck of 3,000 symbols that did not change.

Run with `python benchmarks/landing.py [bars|recheck]`; each in a home of its own, seconds and peak memory printed.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from multiprocessing import Process
from pathlib import Path
from typing import Any

import numpy as np
from quantmill.manifest.home import Home

ROOT = Path(__file__).resolve().parents[1]
DAY = timedelta(days=1)
LAST = datetime(2026, 1, 28, tzinfo=UTC)


def walks(symbols: int, sessions: int) -> np.ndarray:
    """Return closes of random walks, symbols by sessions, that no check objects to."""
    steps = np.random.default_rng(7).normal(0, 0.02, (symbols, sessions)).clip(-0.1, 0.1)
    return 20 * np.exp(np.cumsum(steps - steps.mean(axis=1, keepdims=True), axis=1))


def make_file(home: Home, symbols: int, sessions: int) -> Path:
    """Write a Parquet file with symbols x sessions bars and return its path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    closes = walks(symbols, sessions).ravel()
    days = np.array([(LAST - DAY * n).replace(tzinfo=None) for n in range(sessions)][::-1], dtype="datetime64[us]")
    volume = np.random.default_rng(8).uniform(1e3, 1e4, closes.size)
    table = pa.table(
        {
            "symbol": pa.array(np.repeat([f"BINANCE:S{n:05}USDT" for n in range(symbols)], sessions)),
            "opened": np.tile(days, symbols),
            "open": closes * 0.999,
            "high": closes * 1.01,
            "low": closes * 0.99,
            "close": closes,
            "volume": volume,
        }
    )
    path = home.state / "bars.parquet"
    pq.write_table(table, path)
    return path


def land_file(home: Home, path: Path, count: int) -> float:
    """Land a Parquet file with `count` bars and return the seconds."""
    from ingest.loads import open_session
    from ingest.sources.local_files import ImportOptions, import_file

    options = ImportOptions(source="bench", received_at=LAST + DAY * 2, symbol_column="symbol", time_column="opened")
    clock = _clock()
    started = time.perf_counter()
    with open_session(home, holder="bench", clock=clock, say=lambda line: None) as session:
        outcomes = import_file(session, path, options)
    seconds = time.perf_counter() - started
    assert outcomes[-1].rows_new == count, outcomes
    return seconds


def recheck(home: Home, symbols: int) -> tuple[float, float]:
    """Land first loads of 600 bars, then 51 unchanged bars of each; return the seconds of both."""
    from ingest.answers import Answer
    from ingest.loads import land_answers, open_session
    from ingest.sources.common import pages_payload

    closes = walks(symbols, 600)
    stamps = [int((LAST - DAY * n).timestamp() * 1000) for n in range(600)][::-1]

    def answers(count: int, received: datetime) -> Any:
        for n in range(symbols):
            rows = [
                [stamp, *(repr(c * k) for k in (0.999, 1.01, 0.99, 1.0)), repr(1000.0 + n + c), 0, repr(c * 1e3)]
                for stamp, c in zip(stamps[-count:], closes[n, -count:].tolist(), strict=True)
            ]
            symbol = f"BINANCE:S{n:05}USDT"
            yield Answer(
                "bars", "binance", "http://127.0.0.1",
                {"symbol": symbol, "interval": "1d", "adjustment": "none", "market": "spot", "count": count},
                "complete", pages_payload([({"page": 1}, json.dumps(rows).encode())]), "json", received, received,
            )  # fmt: skip

    def context(answer: Answer) -> dict[str, Any]:
        return {
            "symbol": answer.request["symbol"], "interval": "1d", "adjustment": "none",
            "expected_session": LAST.date().isoformat(),
        }  # fmt: skip

    seconds = []
    for count, received in ((600, LAST + DAY * 1.01), (51, LAST + DAY * 1.9)):
        prepared = list(answers(count, received))
        started = time.perf_counter()
        with open_session(home, holder="bench", clock=_clock(), say=lambda line: None) as session:
            landed = land_answers(session, prepared, context=context)
        seconds.append(time.perf_counter() - started)
        assert {outcome.status for _, outcome in landed} == {"OK" if count == 600 else "UP_TO_DATE"}
    return seconds[0], seconds[1]


def _clock() -> Any:
    state = {"now": datetime(2026, 2, 1, tzinfo=UTC)}

    def clock() -> datetime:
        state["now"] += timedelta(milliseconds=1)
        return state["now"]

    return clock


def main() -> None:
    """Measure what the command line names, or both."""
    for what in sys.argv[1:] or ["bars", "recheck"]:
        with tempfile.TemporaryDirectory(prefix="quantmill-bench-") as folder:
            home = Home(root=ROOT, state=Path(folder))
            if what == "bars":
                # in a process of its own, so that the memory measured is that of the landing
                maker = Process(target=make_file, args=(home, 2000, 1500))
                maker.start()
                maker.join()
                seconds = land_file(home, home.state / "bars.parquet", 3_000_000)
                print(f"3,000,000 bars from Parquet: {seconds:.1f} s (budget 15 s)")
            else:
                first, again = recheck(home, 3000)
                print(f"3,000 first loads of 600 bars: {first:.1f} s; unchanged recheck: {again:.1f} s (budget 20 s)")
            used = resource.getrusage(resource.RUSAGE_SELF)
            seconds = used.ru_utime + used.ru_stime
            print(f"peak memory so far {used.ru_maxrss / 1024:,.0f} MB, {seconds:.0f} s of processor")


if __name__ == "__main__":
    main()
