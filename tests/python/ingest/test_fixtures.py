"""Recorded answers: a cycle over them lands what the cycle that was recorded landed, and opens no connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quantmill.errors import DataContractError, UsageError

from ingest import cli
from ingest.fixtures import Fixtures
from tests.market.market import Market
from tests.market.venue import Venue

SYMBOLS = ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:BTCUSDT.P", "BINANCE:ETHUSDT.P"]
PROFILE = ("--profile", "simulated_crypto", "--symbol", ",".join(SYMBOLS))
AS_OF = "2026-01-02T00:10:00Z"
FILLED = ("raw.bars", "raw.symbol_metadata", "raw.execution_limits", "raw.scan_rows", "raw.vendor_features")


@pytest.fixture(scope="module")
def venue() -> Iterator[Venue]:
    with Venue(Market(symbols=SYMBOLS), port=0) as venue:
        yield venue


@pytest.fixture
def at_home(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Give a setter of the home under the folder of the test."""
    monkeypatch.chdir(repository)
    monkeypatch.setattr("time.sleep", lambda seconds: None)

    def enter(name: str) -> Path:
        home = tmp_path / name
        home.mkdir()
        monkeypatch.setenv("QUANTMILL_HOME", str(home))
        return home

    return enter


def landed(home: Path) -> list[Any]:
    import duckdb

    with duckdb.connect(str(home / "data" / "warehouse.duckdb"), read_only=True) as connection:
        rows = "select kind, source, request_hash, payload_sha256, status, rows_new from raw.loads order by all"
        counts = [connection.execute(f"select count(*) from {name}").fetchone() for name in FILLED]
        return [connection.execute(rows).fetchall(), counts]


def test_a_recorded_cycle_is_repeated_without_a_network(
    venue: Venue, at_home: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    for name, address in venue.addresses().items():
        monkeypatch.setenv(f"QUANTMILL_ADDRESS_{name.upper()}", address)
    recorded, first = tmp_path / "recorded", at_home("first")
    assert cli.run(["flow", *PROFILE, "--as-of", AS_OF, "--record", str(recorded)]) == 0, capsys.readouterr()
    assert (recorded / "bars" / "binance" / "BINANCE_BTCUSDT.1d.splits.json").is_file()
    for name in venue.addresses():
        monkeypatch.delenv(f"QUANTMILL_ADDRESS_{name.upper()}")

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    second = at_home("second")
    assert cli.run(["flow", *PROFILE, "--fixtures", str(recorded)]) == 0, capsys.readouterr()
    assert landed(second) == landed(first)
    assert all(count > 0 for (count,) in landed(second)[1])
    capsys.readouterr()
    at_home("third")
    more = ("--symbol", "BINANCE:SOLUSDT", "--fixtures", str(recorded))
    assert cli.run(["bars", "--profile", "simulated_crypto", *more]) == 2
    error = capsys.readouterr().err
    assert "no answer was recorded for 1d bars of BINANCE:SOLUSDT from binance" in error and "is not there" in error


def test_a_folder_that_holds_no_answers_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder of recorded answers"):
        Fixtures(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds no recorded answer"):
        Fixtures(tmp_path).latest()
    with pytest.raises(UsageError, match="no answer was recorded for the description of AMEX:MBB"):
        Fixtures(tmp_path).symbol_fields(["AMEX:MBB"], ["name"])
    (tmp_path / "execution_limits").mkdir()
    path = tmp_path / "execution_limits" / "spot.json"
    path.write_text('[{"answers": []}]', "utf-8")
    with pytest.raises(DataContractError, match=r"spot\.json is no recording"):
        Fixtures(tmp_path).limits(["spot"])
    path.write_text('[{"asked": {}, "answers": [{"kind": "bars"}]}]', "utf-8")
    with pytest.raises(DataContractError, match="an answer that cannot be read"):
        Fixtures(tmp_path).limits(["spot"])


def test_recording_and_replaying_at_once_is_an_error(at_home: Any, tmp_path: Path, capsys: Any) -> None:
    at_home("home")
    both = ("--fixtures", str(tmp_path), "--record", str(tmp_path))
    assert cli.run(["bars", *PROFILE, *both]) == 2
    assert "leave one of them out" in capsys.readouterr().err
