"""The command line: exit codes, one line per error, and nothing landed by a command that cannot work."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingest import cli

ROWS = "symbol,date,close\nNASDAQ:AAPL,2024-03-01,10\n"
BASE = ["--source", "vendor", "--received-at", "2024-03-28T21:00:00Z"]
LONG = [*BASE, "--symbol-column", "symbol", "--date-column", "date"]


@pytest.fixture
def run(warehouse: Any, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    monkeypatch.setenv("QUANTMILL_HOME", str(warehouse.home.state))
    monkeypatch.chdir(repository)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def write(warehouse: Any, data: str | bytes, name: str = "prices.csv") -> str:
    path = Path(warehouse.home.state) / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


@pytest.mark.parametrize(
    ("data", "name", "options", "code", "found"),
    [
        (None, "absent.csv", LONG, 2, "does not exist"),
        (ROWS, "prices.txt", LONG, 2, "ends with none of .csv, .csv.gz, .parquet"),
        ("", "prices.csv", LONG, 3, "is empty"),
        ("symbol,date,close\n", "prices.csv", LONG, 3, "holds no row"),
        (
            ROWS.replace("close", "adj_close"),
            "prices.csv",
            LONG,
            3,
            "did you mean 'adj_close'? see --map close=",
        ),
        (ROWS, "prices.csv", [*LONG, "--map", "close=clos"], 3, "it has symbol, date, close"),
        (ROWS, "prices.csv", [*LONG, "--map", "colse=close"], 2, "did you mean close=close"),
        (
            ROWS,
            "prices.csv",
            [*BASE, "--symbol-column", "symbol", "--date-column", "day"],
            3,
            "did you mean 'date'",
        ),
        (ROWS, "prices.csv", [*BASE, "--symbol", "aapl", "--date-column", "date"], 2, "NASDAQ:AAPL"),
        (ROWS, "prices.csv", [*BASE, "--date-column", "date"], 2, "exactly one of --symbol"),
        (ROWS, "prices.csv", [*LONG, "--time-column", "date"], 2, "exactly one of --date-column"),
        (ROWS, "prices.csv", [*LONG, "--received-at", "2024-03-28T21:00:00"], 2, "has no zone"),
        (ROWS, "prices.csv", [*LONG, "--received-at", "2024-03-28"], 2, "write it like 2024-03-28T00:00:00Z"),
        (ROWS, "prices.csv", [*LONG, "--received-at", "yesterday"], 2, "no ISO time"),
        (ROWS.replace(",", ";"), "prices.csv", LONG, 3, "separated by ';': give --delimiter"),
        (ROWS.replace("close", "PX_LAST"), "prices.csv", LONG, 3, "name its column by --map"),
        (ROWS, "prices.csv", [*LONG, "--received-at", "2999-01-01T00:00:00Z"], 2, "ahead of the clock"),
        (ROWS, "prices.csv", [*LONG, "--interval", "1D"], 2, "did you mean"),
        (ROWS, "prices.csv", [*LONG, "--interval", "1h"], 2, "use --time-column"),
        (ROWS, "prices.csv", [*LONG, "--adjustment", "split"], 2, "did you mean 'splits'"),
        (ROWS, "prices.csv", [*LONG, "--timezone", "New York"], 2, "no IANA zone"),
        (ROWS, "prices.csv", [*LONG, "--source", "My Vendor"], 2, "--source"),
        (ROWS.replace("NASDAQ", "XETR"), "prices.csv", LONG, 2, "give --timezone"),
        (
            ROWS.replace("NASDAQ", "XETR"),
            "prices.csv",
            [*LONG, "--timezone", "Europe/Berlin"],
            2,
            "give --calendar",
        ),
        (gzip.compress(ROWS.encode() * 50, mtime=0)[:-12], "prices.csv.gz", LONG, 3, "not a whole gzip"),
        (b"PAR1 torn", "prices.parquet", LONG, 3, "not a whole Parquet"),
        ("close,Close,date,symbol\n1,1,1,1\n", "prices.csv", LONG, 3, "twice close"),
        (ROWS, "prices.csv", [*LONG, "--symbol-map", "absent.csv"], 2, "--symbol-map"),
        (ROWS, "prices.csv", [*LONG, "--unknown"], 2, "No such option"),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why_and_lands_nothing(
    warehouse: Any, run: Any, data: str | bytes | None, name: str, options: list[str], code: int, found: str
) -> None:
    path = str(Path(warehouse.home.state) / name) if data is None else write(warehouse, data, name)
    got, _, error = run("import", path, *options)
    assert (got, found in error) == (code, True), error
    assert "Traceback" not in error
    assert not list(warehouse.home.landing.rglob("*.*"))


def test_an_import_tells_what_it_did_and_a_repeat_is_up_to_date(warehouse: Any, run: Any) -> None:
    path = write(warehouse, gzip.compress(ROWS.encode(), mtime=0), "prices.csv.gz")
    code, out, _ = run("import", path, *LONG)
    assert code == 0
    assert "bars: OK, 1 rows: 1 new" in out
    code, out, _ = run("import", path, *LONG)
    assert (code, "bars: UP_TO_DATE, 1 rows: 0 new, 1 identical" in out) == (0, True)


def test_a_wholly_rejected_file_is_recorded_and_ends_with_three(warehouse: Any, run: Any) -> None:
    code, out, error = run("import", write(warehouse, ROWS.replace(",10", ",zero")), *LONG)
    assert code == 3
    assert error.startswith("DataContractError: load ")
    assert "NOT_FINITE 1" in error
    assert "NOT_FINITE, for example: close is zero" in out
    assert warehouse.rows("select status from raw.loads where kind = 'bars'") == [("REJECTED",)]


def test_a_partly_bad_file_ends_with_a_warning(warehouse: Any, run: Any) -> None:
    code, out, _ = run("import", write(warehouse, ROWS + "NASDAQ:AAPL,2024-03-04,0\n"), *LONG)
    assert code == 0
    assert "WARNING, more than 5 %: 1 of 2 rows are in quarantine: OHLC_INVALID 1" in out


def test_an_unmapped_exchange_lands_when_its_options_are_given(warehouse: Any, run: Any) -> None:
    options = ["--timezone", "Europe/Berlin", "--calendar", "XETR", "--asset-class", "equity"]
    code, _, error = run("import", write(warehouse, ROWS.replace("NASDAQ:", "XETR:")), *LONG, *options)
    assert code == 0, error
    assert warehouse.rows("select opened_at_utc::varchar from raw.bars") == [("2024-02-29 23:00:00",)]


def test_status_counts_loads_and_symbols(warehouse: Any, run: Any) -> None:
    code, _, error = run("status")
    assert (code, error.startswith("MissingLanding: ")) == (6, True)
    run("import", write(warehouse, ROWS), *LONG)
    code, out, _ = run("status")
    assert code == 0
    assert "vendor" in out
    assert "STABLE" in out
    assert "2024-03-01" in out


def test_rebuild_without_landing_exits_with_six(run: Any) -> None:
    code, _, error = run("rebuild")
    assert (code, error.startswith("MissingLanding: ")) == (6, True)


def test_an_interruption_is_one_sentence_and_130(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ingest.sources.embedded.read_manifest", interrupt)
    code, _, error = run("sample")
    assert (code, error.strip().count("\n"), error.strip().startswith("interrupted: ")) == (130, 0, True)


def test_the_command_line_loads_nothing_heavy(repository: Path) -> None:
    heavy = {"duckdb", "pandas", "pyarrow", "pydantic", "rich"}
    code = f"import sys, ingest.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_ingest_module_imports_the_core_beyond_its_borders(repository: Path) -> None:
    allowed = ("quantmill.errors", "quantmill.frames", "quantmill.manifest")
    files = list((repository / "ingest").rglob("*.py"))
    assert files
    for file in files:
        for line in file.read_text().splitlines():
            if line.strip().startswith(("from quantmill", "import quantmill")):
                assert line.split()[1].startswith(allowed), f"{file}: {line}"


RESOLVE = ["resolve", "NASDAQ:AAPL", "2024-03-01", "--code", "SUSPECT_DROP", "--by", "desk", "--reason"]


def test_a_resolution_is_a_load_like_any_other_and_the_newest_word_is_kept_beside_the_old(
    run: Any, warehouse: Any
) -> None:
    assert run("import", write(warehouse, ROWS), *LONG)[0] == 0
    for reason, said in (("it  fell", "1 new"), ("it fell", "1 identical"), ("a split", "1 superseding")):
        code, out, err = run(*RESOLVE, reason)
        assert (code, err) == (0, "")
        assert said in out
    stored = "select symbol, payload ->> 'session_date', payload ->> 'code', payload ->> 'reason' from raw.resolutions"
    assert warehouse.rows(f"{stored} order by load_id") == [
        ("NASDAQ:AAPL", "2024-03-01", "SUSPECT_DROP", "it fell"),
        ("NASDAQ:AAPL", "2024-03-01", "SUSPECT_DROP", "a split"),
    ]
    # what was resolved is data: the state of the landing is another one
    assert warehouse.rows("select count(*) from ops.snapshots") == [(3,)]


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        ([*RESOLVE, " "], 2, "the reason is empty"),
        ([*RESOLVE[:4], "TOXIC_RETURN", "--reason", "x"], 2, "one of EXTREME, SUSPECT_DROP, DUPLICATE_ROW"),
        ([RESOLVE[0], "NASDAQ:APPL", *RESOLVE[2:], "x"], 3, "SUSPECT_DROP says nothing of NASDAQ:APPL on 2024-03-01"),
        ([*RESOLVE[:2], "2024-03-07", *RESOLVE[3:], "x"], 3, "SUSPECT_DROP says nothing of NASDAQ:AAPL on 2024-03-07"),
        ([*RESOLVE[:4], "DUPLICATE_ROW", "--reason", "x"], 3, "DUPLICATE_ROW says nothing of NASDAQ:AAPL"),
        ([*RESOLVE[:2], "--code", "TOXIC", "--reason", "x"], 3, "where status = 'TOXIC'"),
        ([*RESOLVE[:2], "--code", "OVERLAP_MISMATCH", "--reason", "x"], 3, "severity = 'reject'"),
        ([*RESOLVE[:4], "TOXIC", "--reason", "x"], 2, "leave the session out"),
        ([*RESOLVE[:2], *RESOLVE[3:], "x"], 2, "name the sessions after the symbol"),
        ([*RESOLVE, "x", "--by", "a; drop table"], 2, "say it with --by"),
        ([RESOLVE[0], "aapl'", *RESOLVE[2:], "x"], 2, "needs EXCHANGE:TICKER"),
        ([*RESOLVE[:2], "yesterday", *RESOLVE[3:], "x"], 2, "yesterday"),
    ],
)
def test_a_resolution_of_nothing_is_refused_and_lands_nothing(
    run: Any, warehouse: Any, arguments: list[str], code: int, found: str
) -> None:
    assert run("import", write(warehouse, ROWS), *LONG)[0] == 0
    before = warehouse.raw_tables()
    ended, _, err = run(*arguments)
    assert ended == code
    assert found in err
    assert warehouse.raw_tables() == before


COMMAS = "symbol;date;close;volume\nNASDAQ:AAPL;2024-03-01;1.234,5;1.000\nNASDAQ:AAPL;2024-03-04;1.240;7,25\n"


def test_a_decimal_comma_is_read_where_it_is_stated(warehouse: Any, run: Any) -> None:
    path = write(warehouse, COMMAS)
    code, _, error = run("import", path, *LONG, "--delimiter", ";", "--decimal", "comma")
    assert (code, error) == (0, "")
    assert warehouse.rows("select close, volume from raw.bars order by opened_at_utc") == [(1234.5, 1000), (1240, 7.25)]


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        (COMMAS, [], "close is '1.234,5'"),
        (COMMAS.replace("1.240", "1240.5"), ["--decimal", "comma"], "close is '1240.5'"),
        (COMMAS.replace("1.234,5", "1").replace("7,25", "1,234"), [], "volume is '1,234'"),
    ],
)
def test_numbers_that_may_mean_two_things_are_an_error_that_names_the_option(
    warehouse: Any, run: Any, text: str, options: list[str], found: str
) -> None:
    code, _, error = run("import", write(warehouse, text), *LONG, "--delimiter", ";", *options)
    assert (code, found in error, "give --decimal comma or --decimal point" in error) == (3, True, True), error
    assert not list(warehouse.home.landing.rglob("*.*"))


def test_where_a_point_is_stated_a_number_with_a_comma_is_no_number(warehouse: Any, run: Any) -> None:
    code, out, _ = run("import", write(warehouse, COMMAS), *LONG, "--delimiter", ";", "--decimal", "point")
    assert (code, "NOT_FINITE, for example: close is 1.234,5" in out) == (3, True), out
