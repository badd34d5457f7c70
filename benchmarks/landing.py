"""Measure the landing: three million bars from a file, unchanged symbols looked at again, the simulated WebSocket.

`python benchmarks/landing.py bars|recheck|socket` measures one of them in this process and a home of its own, and
prints what it found as one line of JSON; `make bench` runs each in a process of its own, so that the peak memory is
that of the landing. Whatever makes data or serves them runs in another process.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from quantmill.manifest.home import Home

ROOT = Path(__file__).resolve().parents[1]
DAY = timedelta(days=1)
LAST = datetime(2026, 1, 28, tzinfo=UTC)
# Forking a process that runs threads is a gamble: children start from nothing.
CHILDREN = multiprocessing.get_context("spawn")


def walks(symbols: int, sessions: int) -> np.ndarray:
    """Return closes of random walks, symbols by sessions, that no check objects to."""
    steps = np.random.default_rng(7).normal(0, 0.02, (symbols, sessions)).clip(-0.1, 0.1)
    return 20 * np.exp(np.cumsum(steps - steps.mean(axis=1, keepdims=True), axis=1))


def make_file(path: Path, symbols: int, sessions: int) -> None:
    """Write a Parquet file with symbols x sessions bars."""
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
    pq.write_table(table, path)


def bars(home: Home, symbols: int = 2000, sessions: int = 1500) -> dict[str, float]:
    """Land symbols x sessions bars from one Parquet file into an empty workbench."""
    from ingest.loads import open_session
    from ingest.sources.local_files import ImportOptions, import_file

    path = home.state / "bars.parquet"
    maker = CHILDREN.Process(target=make_file, args=(path, symbols, sessions))
    maker.start()
    maker.join()
    options = ImportOptions(source="bench", received_at=LAST + DAY * 2, symbol_column="symbol", time_column="opened")
    started = time.perf_counter()
    with open_session(home, holder="bench", clock=ticking(), say=_silent) as session:
        outcomes = import_file(session, path, options)
    seconds = time.perf_counter() - started
    assert outcomes[-1].rows_new == symbols * sessions, outcomes
    return {"seconds": seconds, "bars": outcomes[-1].rows_new}


def recheck(home: Home, symbols: int = 3000, first: int = 600) -> dict[str, float]:
    """Land first loads of `first` bars each, then the 51 last bars again, unchanged."""
    from ingest.answers import Answer
    from ingest.loads import land_answers, open_session
    from ingest.sources.common import pages_payload

    closes = walks(symbols, first)
    stamps = [int((LAST - DAY * n).timestamp() * 1000) for n in range(first)][::-1]

    def answers(count: int, received: datetime) -> Iterator[Answer]:
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
    for count, received in ((first, LAST + DAY * 1.01), (51, LAST + DAY * 1.9)):
        prepared = list(answers(count, received))
        started = time.perf_counter()
        with open_session(home, holder="bench", clock=ticking(), say=_silent) as session:
            landed = land_answers(session, prepared, context=context)
        seconds.append(time.perf_counter() - started)
        assert {outcome.status for _, outcome in landed} == {"OK" if count == first else "UP_TO_DATE"}
    return {"first_seconds": seconds[0], "seconds": seconds[1]}


def serve_market(addresses: Any, done: Any) -> None:
    """Serve the simulated market on loopback until `done` is set; its addresses go into the queue."""
    from tests.market.market import Market
    from tests.market.venue import Venue

    with Venue(Market(), port=0) as venue:
        addresses.put(venue.addresses())
        done.wait()


@contextmanager
def venue() -> Iterator[dict[str, str]]:
    """Give the addresses of a simulated venue that runs in another process."""
    addresses, done = CHILDREN.Queue(), CHILDREN.Event()
    process = CHILDREN.Process(target=serve_market, args=(addresses, done), daemon=True)
    process.start()
    try:
        yield addresses.get(timeout=120)
    finally:
        done.set()
        process.join(timeout=30)


def oldest_listings(count: int) -> list[str]:
    """Return the symbols of the simulated market that trade to its end and have done so the longest."""
    from tests.market.listings import all_listings

    trading = [one for one in all_listings() if one.delisted is None]
    return sorted(one.symbol for one in sorted(trading, key=lambda one: (one.listed, one.symbol))[:count])


def socket(home: Home, symbols: int = 500, depth: int = 600) -> dict[str, float]:
    """Fetch and land first loads over the simulated WebSocket, then the symbols that fell behind by a day.

    The second day brings nine of ten symbols up to date before the pass that is looked at: it asks for the others
    alone, and `ops.sync_runs` says what that saved. The processor time is that of this process in the first loads.
    """
    from quantmill.manifest.acquisition import load_interfaces

    from ingest.loads import open_session
    from ingest.network import Network, Ways, can_have
    from ingest.sync import Rules, Synchroniser
    from ingest.thresholds import DEPTH_BEYOND_LOOKBACK

    interfaces = {str(name): one for name, one in load_interfaces(ROOT / "manifest").items()}
    rules = Rules(bar_sources=("tradingview",), lookback_sessions=depth - DEPTH_BEYOND_LOOKBACK)
    wanted = oldest_listings(symbols)
    # a Tuesday and the day after it, when every market of the simulated venue had a session
    days = (datetime(2026, 1, 28, 0, 10, tzinfo=UTC), datetime(2026, 1, 29, 0, 10, tzinfo=UTC))
    now = {"moment": days[0]}

    @contextmanager
    def tell(label: str, total: int) -> Iterator[Callable[[int, int, str], None]]:
        yield lambda *_: None

    with venue() as addresses, open_session(
        home, holder="bench", clock=lambda: now["moment"], say=_silent
    ) as session:  # fmt: skip

        def synchronise(scope: list[str], moment: datetime) -> Any:
            now["moment"] = moment
            network = Network(
                Ways(clock=lambda: now["moment"]), interfaces=interfaces, market_clock=moment,
                addresses={"tradingview_socket": addresses["tradingview_socket"]},
            )  # fmt: skip
            one = Synchroniser(
                session, network, rules, as_of=moment, can_have=can_have, tell=tell, timer=time.monotonic
            )
            done = one.run("normal", one.plan(scope))
            one.settle(scope)
            return done

        started, used = time.perf_counter(), processor_seconds()
        done = synchronise(wanted, days[0])
        used, seconds = processor_seconds() - used, time.perf_counter() - started
        assert not set(done.statuses) - {"OK", "UP_TO_DATE"}, done.statuses
        landed = session.connection.execute("select count(*) from raw.bars").fetchone()
        synchronise([symbol for number, symbol in enumerate(wanted) if number % 10], days[1])
        synchronise(wanted, days[1])
        saved = session.connection.execute(
            "select saved_share, request_count from ops.sync_runs order by rowid desc limit 1"
        ).fetchone()
    assert landed is not None
    assert saved is not None
    return {
        "seconds": seconds, "processor_seconds": used, "bars": landed[0], "saved_percent": 100 * saved[0],
        "requests": saved[1],
    }  # fmt: skip


def processor_seconds() -> float:
    """Return the processor time that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ticking() -> Callable[[], datetime]:
    """Return a clock that goes on by a millisecond whenever it is read."""
    state = {"now": datetime(2026, 2, 1, tzinfo=UTC)}

    def clock() -> datetime:
        state["now"] += timedelta(milliseconds=1)
        return state["now"]

    return clock


def _silent(line: str) -> None:
    """Say nothing."""


MEASURED: dict[str, Callable[[Home], dict[str, float]]] = {"bars": bars, "recheck": recheck, "socket": socket}


def main() -> None:
    """Measure what the command line names and print it."""
    if len(sys.argv) != 2 or sys.argv[1] not in MEASURED:
        raise SystemExit(f"usage: python benchmarks/landing.py {'|'.join(MEASURED)}")
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory(prefix="quantmill-bench-") as folder:
        found = MEASURED[sys.argv[1]](Home(root=ROOT, state=Path(folder)))
    found["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
