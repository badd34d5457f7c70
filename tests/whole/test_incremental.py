"""A day's bars are built as a day's work, and what is there afterwards is what a build of everything makes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
from quantmill.manifest.home import Home
from support import Build, dbt_build, ingest, run, variables

pytestmark = pytest.mark.build

# The models that follow changes, with what they are made of and what follows from them.
FOLLOWERS = (
    "bar_verdicts", "session_bars", "daily_returns", "bar_spikes", "expected_sessions", "bar_gaps", "symbol_health",
    "factor_history", "symbol_identity", "market_proxies", "technical_ratings",
)  # fmt: skip
COMPARED = (
    "features.bar_verdicts", "features.session_bars", "features.daily_returns", "features.bar_spikes",
    "features.bar_gaps", "features.symbol_health", "features.factor_history", "features.symbol_identity",
    "features.market_regimes", "features.survival_tests", "features.technical_ratings", "work.expected_sessions",
    "work.market_proxies",
)  # fmt: skip
CHOSEN = (
    "--select", *(f"+{name}" for name in (*FOLLOWERS, "market_regimes", "survival_tests")),
    "--exclude-resource-type", "test",
)  # fmt: skip
STOCKS = [f"NYSE:S{n}" for n in range(7)]
COINS = [f"BINANCE:C{n}USDT" for n in range(6)] + ["BINANCE:C0USDC"]
# a coin that stands at the euro, and one share under two names
EURO_COIN, EURO = "BINANCE:CEURUSDT", "FX_IDC:EURUSD"
OLD_NAME, NEW_NAME, RENAMED = "NYSE:OLDN", "NYSE:NEWN", date(2022, 9, 19)
FIRST, LAST = date(2022, 3, 1), date(2023, 4, 28)

Bars = Iterable[tuple[str, date, float]]


def walk(symbol: str, first: date = FIRST, last: date = LAST) -> Iterable[tuple[str, date, float]]:
    """Closes of a random walk of its own for each symbol, on weekdays for a stock and on all days for a coin."""
    # two quotes of one coin cost nearly the same
    random = np.random.default_rng([ord(letter) for letter in symbol.removesuffix("T").removesuffix("C")])
    premium = 1.001 if symbol.endswith("USDC") else 1.0
    price = 50.0
    for n in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        price *= float(np.exp(random.normal(0, 0.02)))
        if day >= first and (day.weekday() < 5 or symbol in COINS):
            yield symbol, day, price * premium


def euro(symbol: str, last: date = LAST) -> Iterable[tuple[str, date, float]]:
    """A euro in dollars, which moves once a week: as money on weekdays, as a coin on all days."""
    for n in range((last - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        if day.weekday() < 5 or symbol == EURO_COIN:
            yield symbol, day, 1.05 + day.isocalendar().week / 10_000


def share(last: date = LAST) -> Iterable[tuple[str, date, float]]:
    """A share that trades under another name since RENAMED."""
    for _, day, close in walk("NYSE:S8", last=last):
        yield NEW_NAME if day >= RENAMED else OLD_NAME, day, close


def keep_out(home: Home, symbol: str, code: str, severity: str, day: date) -> None:
    """A check of ingest found something about a bar of `day` in the newest load."""
    with duckdb.connect(str(home.workbench)) as connection:
        connection.execute(
            "insert into raw.findings (load_id, symbol, code, severity, opened_at_utc, value, donor_symbol, detail,"
            " detected_at_utc) select max(load_id) || '-', ?, ?, ?, ?, 7.0, 'NYSE:S6', 'test',"
            " timestamp '2023-04-29 06:00:00' from raw.loads",
            [symbol, code, severity, datetime(day.year, day.month, day.day, 5)],
        )


def rename(home: Home) -> None:
    """The bars of the old name were proven to be those of the new one."""
    said = {"new_symbol": NEW_NAME, "verdict": "JOINED", "adjustments": ["none", "splits", "total_return"]}
    with duckdb.connect(str(home.workbench)) as connection:
        connection.execute(
            "insert into raw.symbol_aliases (load_id, row_number, symbol, received_at_utc, payload)"
            " select max(load_id) || '-', 1, ?, timestamp '2023-04-29 06:00:00', ? from raw.loads",
            [OLD_NAME, json.dumps(said)],
        )


def pay(home: Home, symbol: str, *days: date) -> None:
    """Dividends of one a share were landed, with the ex-dates given."""
    with duckdb.connect(str(home.workbench)) as connection:
        for number, day in enumerate(days):
            epoch = datetime(day.year, day.month, day.day, 14, 30, tzinfo=UTC).timestamp()
            connection.execute(
                "insert into raw.corporate_actions (load_id, row_number, symbol, received_at_utc, payload)"
                " select max(load_id) || '-', ?, ?, timestamp '2023-04-29 06:00:00', ? from raw.loads",
                [number, symbol, json.dumps({"action": "dividend", "date": epoch, "amount": 1.0})],
            )


def verdict(home: Home, symbol: str, day: date) -> str:
    """What was said of the data of a symbol at the close of a day."""
    [(found,)] = ask(
        home, f"select verdict from features.symbol_health where symbol = '{symbol}' and as_of_date = date '{day}'"
    )
    return str(found)


def land(home: Home, name: str, received: str, bars: Bars, *arguments: str) -> None:
    path = home.state / f"{name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["symbol", "date", "open", "high", "low", "close", "volume"])
        writer.writerows(
            [symbol, day, repr(close), repr(close * 1.01), repr(close * 0.98), repr(close), repr(1000 + close)]
            for symbol, day, close in bars
        )
    landed = ingest(
        home, "import", str(path), "--source", "test", "--received-at", received, "--symbol-column", "symbol",
        "--date-column", "date", *arguments,
    )  # fmt: skip
    assert landed.code == 0, landed.output


def built(home: Home, *arguments: str) -> Build:
    done = dbt_build(home, *CHOSEN, *arguments)
    assert done.code == 0, done.output
    return done


def ask(home: Home, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(home.workbench), read_only=True) as connection:
        return connection.execute(query).fetchall()


def rebuilt(home: Home, make_home: Callable[[str], Home]) -> Home:
    """The same landed rows in a home in which nothing was built before, built."""
    other = make_home("rebuilt")
    other.workbench.parent.mkdir()
    shutil.copyfile(home.workbench, other.workbench)
    with duckdb.connect(str(other.workbench)) as connection:
        for (schema,) in connection.execute(
            "select schema_name from duckdb_schemas() where schema_name in ('features', 'work', 'staging')"
            " and database_name = current_database()"
        ).fetchall():
            connection.execute(f"drop schema {schema} cascade")
    built(other)
    return other


def assert_equal(home: Home, other: Home) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"attach '{home.workbench}' as followed (read_only)")
        connection.execute(f"attach '{other.workbench}' as rebuilt (read_only)")
        for table in COMPARED:
            counts = connection.execute(
                f"select (select count(*) from followed.{table}), (select count(*) from rebuilt.{table}),"
                f" (select count(*) from (from followed.{table} except all from rebuilt.{table}))"
            ).fetchall()
            assert counts == [(counts[0][1], counts[0][1], 0)], table


@pytest.fixture(scope="module")
def market(make_home: Callable[[str], Home]) -> Home:
    """A market of stocks and coins, landed and built up to the last but one week."""
    home = make_home("followed")
    until = LAST - timedelta(days=7)
    rows = [row for symbol in (*STOCKS, *COINS) for row in walk(symbol, last=until)]
    # S0 misses two sessions in a row, C1 a day; S2 more than doubles for a day
    gaps = {("NYSE:S0", date(2022, 9, 7)), ("NYSE:S0", date(2022, 9, 8)), ("BINANCE:C1USDT", date(2022, 9, 8))}
    rows = [
        (s, d, c * 2.5 if (s, d) == ("NYSE:S2", date(2022, 11, 9)) else c) for s, d, c in rows if (s, d) not in gaps
    ]
    land(home, "history", "2023-04-22T06:00:00Z", [*rows, *euro(EURO_COIN, last=until), *share(last=until)])
    keep_out(home, "NYSE:S5", "DUPLICATE_ROW", "warning", date(2022, 10, 5))
    pay(home, "NYSE:S4", date(2022, 6, 8))
    pay(home, "NYSE:S6", date(2022, 6, 8))
    built(home)
    return home


def test_new_days_and_late_words_leave_what_a_build_of_everything_would(
    market: Home, make_home: Callable[[str], Home]
) -> None:
    before = ask(market, "select count(*), max(session_date) from features.session_bars")[0]
    # a day without S1; then S1's, with a revision of an old bar, a repaired gap, a new symbol and a settled jump
    day = LAST - timedelta(days=4)
    land(
        market, "day", "2023-04-25T06:00:00Z",
        [row for symbol in (*STOCKS, *COINS) if symbol != "NYSE:S1" for row in walk(symbol, last=day) if row[1] == day]
        + [row for row in (*euro(EURO_COIN, last=day), *share(last=day)) if row[1] == day],
    )  # fmt: skip
    built(market)
    # from the day after the newest session of each calendar: the coins miss a weekend now
    followed = ask(market, "select distinct first_changed_date from work.bar_changes where change_number = 2")
    assert followed == [(day - timedelta(days=2),)]
    late = [
        *(row for row in walk("NYSE:S1") if row[1] >= day),
        *((s, d, c * 1.02) for s, d, c in walk("NYSE:S3") if d == date(2022, 12, 7)),
        *(row for row in walk("BINANCE:C1USDT") if row[1] == date(2022, 9, 8)),
        *walk("NYSE:S9", first=date(2022, 6, 1)),
        *euro(EURO),
    ]
    adjusted = [(s, d, c * 0.9) for s, d, c in walk("NYSE:S6") if d >= date(2023, 1, 3)]
    assert verdict(market, EURO_COIN, date(2023, 1, 20)) == "DEGRADED"
    assert verdict(market, "NYSE:S5", date(2022, 10, 5)) == "OK"
    land(market, "late", "2023-04-29T06:00:00Z", late)
    land(market, "adjusted", "2023-04-29T07:00:00Z", adjusted, "--adjustment", "total_return")
    said = ingest(market, "resolve", "NYSE:S2", "2022-11-09", "--code", "EXTREME", "--reason", "it was bid for")
    assert said.code == 0, said.output
    # what arrives without a bar: a second dividend and a first one, a rename, a bar that was kept out, and a symbol
    # that turned toxic
    pay(market, "NYSE:S4", date(2023, 2, 8), date(2023, 3, 8))
    pay(market, "NYSE:S1", date(2023, 2, 8))
    rename(market)
    keep_out(market, "NYSE:S0", "CROSS_LEVEL", "reject", date(2022, 9, 7))
    with duckdb.connect(str(market.workbench)) as connection:
        connection.execute("update ops.symbol_registry set status = 'TOXIC' where symbol = 'NYSE:S5'")
    built(market)
    assert ask(market, "select count(*), max(session_date) from features.session_bars")[0] > before
    assert ask(
        market, "select first_changed_date from work.bar_changes where symbol = 'NYSE:S3' order by change_number"
    )[-1] == (date(2022, 12, 7),)
    first = "select min(first_changed_date) from work.bar_changes where change_number = 3 and symbol = 'NYSE:{}'"
    assert ask(market, first.format("S4")) == [(date(2023, 2, 7),)]
    assert ask(market, first.format("S1")) == [(date(1, 1, 1),)]
    paid = ask(market, "select symbol, acts_on from work.action_effects where status = 'COUNTED' order by all")
    assert [symbol[-2:] for symbol, _ in paid] == ["S1", "S4", "S4", "S4"]
    spike = "select resolution from features.bar_spikes where symbol = 'NYSE:S2' and code = 'EXTREME'"
    assert ask(market, spike) == [("it was bid for",)]
    assert verdict(market, EURO_COIN, date(2023, 1, 20)) == "OK"
    assert verdict(market, "NYSE:S5", date(2022, 10, 5)) == "TOXIC"
    assert verdict(market, "NYSE:S0", date(2022, 9, 7)) == "TOXIC"
    assert ask(market, f"select min(session_date) from features.session_bars where symbol = '{NEW_NAME}'") == [(FIRST,)]
    assert_equal(market, rebuilt(market, make_home))


def test_a_build_of_nothing_new_computes_nothing(market: Home) -> None:
    built(market)
    for table in ("calc_factors", "calc_ratings", "calc_session_counts", "calc_suspect_moves", "calc_market_proxies"):
        assert ask(market, f"select count(*) from work.{table}") == [(0,)], table
    changes = ask(market, "select max(change_number) from work.bar_changes")
    assert ask(market, "select distinct change_number from work.built_models") == changes


def test_a_test_looks_at_what_was_built_since_it_passed_and_dbt_test_at_everything(market: Home) -> None:
    key = "unique_key_session_bars_symbol__session_date"
    double = "insert into features.session_bars from features.session_bars where symbol = 'NYSE:S4' and session_date = "

    def judged() -> int:
        return dbt_build(market, "--select", key).code

    def change(query: str) -> None:
        with duckdb.connect(str(market.workbench)) as connection:
            connection.execute(query)

    assert judged() == 0
    assert ask(market, "select check_name from work.passed_checks") == [(key,)]
    # nobody builds rows of 2022 now
    change(double + "'2022-06-01'")
    assert judged() == 0
    assert run(market, "dbt", "--no-use-colors", "test", "--vars", variables({}), "--select", key).code == 1
    change("create table work.once as select distinct * from features.session_bars where symbol = 'NYSE:S4'")
    change("delete from features.session_bars where symbol = 'NYSE:S4'")
    change("insert into features.session_bars from work.once; drop table work.once")

    day = LAST + timedelta(days=3)
    land(market, "next", "2023-05-02T06:00:00Z", [("NYSE:S4", day, 50.0)])
    built(market)
    change(double + f"'{day}'")
    # a failure is not forgotten by the next build
    assert (judged(), judged()) == (1, 1)
