"""Archives: which files cover a request, what is verified, what a kill leaves behind, and both units of time."""

from __future__ import annotations

import hashlib
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Asked, Given, web_service
from quantmill.errors import DataContractError, UsageError

from ingest.answers import BAR_COLUMNS, Answer
from ingest.readers import read
from ingest.sources.binance_bulk import Archive, archives, fetch_archives, read_archive
from ingest.sources.common import BarRequest
from ingest.transport import Pacing, Transport

NOW = datetime(2025, 3, 3, 0, 10, tzinfo=UTC)
HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote,ignore\n"
ROW = "1704067200000,1.0,2.0,0.5,1.5,10.0,1704153599999,15.0,7,5.0,7.5,0\n"
MICRO = "1735689600000000,1.0,2.0,0.5,1.5,10.0,1735775999999999,15.0,7,5.0,7.5,0\n"
JANUARY = Archive("BINANCE:BTCUSDT", "1d", "2024-01")
PATH = "/data/spot/monthly/klines/BTCUSDT/1d/BTCUSDT-1d-2024-01.zip"


def zipped(text: str | bytes, name: str = "BTCUSDT-1d-2024-01.csv", **others: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member, content in {name: text, **others}.items():
            archive.writestr(zipfile.ZipInfo(member), content)
    return buffer.getvalue()


def checksum(data: bytes, name: str = "BTCUSDT-1d-2024-01.zip") -> Given:
    return Given(200, f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode())


def fetch(script: Any, *files: Archive, folder: Path | None = None) -> tuple[list[Answer], list[Asked]]:
    with web_service(script) as service:
        transport = Transport(
            "binance_bulk", service.address, clock=lambda: NOW, sleep=lambda _: None, pacing=Pacing(1e6)
        )
        answers = list(fetch_archives(files or [JANUARY], transport, folder=folder, workers=1))
    return answers, service.asked


def test_a_request_is_covered_by_its_closed_months_and_by_the_days_of_the_open_one() -> None:
    request = BarRequest("BINANCE:BTCUSDT", 70, NOW)
    assert [one.period for one in archives(request)] == ["2024-12", "2025-01", "2025-02"]
    assert [one.period for one in archives(request, with_days=True)][3:] == ["2025-03-01", "2025-03-02"]
    with pytest.raises(UsageError, match="no archive"):
        archives(BarRequest("NASDAQ:AAPL", 70, NOW))


@pytest.mark.parametrize(
    ("archive", "path"),
    [
        (JANUARY, PATH),
        (
            Archive("BINANCE:BTCUSDT.P", "1d", "2024-01-31"),
            "/data/futures/um/daily/klines/BTCUSDT/1d/BTCUSDT-1d-2024-01-31.zip",
        ),
        (
            Archive("BINANCE:BTCUSD.P", "1W", "2024-01"),
            "/data/futures/cm/monthly/klines/BTCUSD_PERP/1w/BTCUSD_PERP-1w-2024-01.zip",
        ),
    ],
)
def test_each_market_has_its_folder(archive: Archive, path: str) -> None:
    assert archive.path == path


def test_a_verified_archive_is_the_payload_as_received(tmp_path: Path) -> None:
    data = zipped(ROW)
    (answer,), asked = fetch([checksum(data), Given(200, data)], folder=tmp_path)
    assert [one.path for one in asked] == [f"{PATH}.CHECKSUM", PATH]
    assert (answer.state, answer.payload, answer.extension) == ("complete", data, "zip")
    assert answer.request == {
        "symbol": "BINANCE:BTCUSDT", "interval": "1d", "adjustment": "none", "market": "spot", "period": "2024-01",
    }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["BTCUSDT-1d-2024-01-spot.zip"]
    table = read("bars", "binance_bulk", data, answer.request)
    assert tuple(table.column_names) == BAR_COLUMNS
    (row,) = table.to_pylist()
    assert (row["opened_at"], row["close"], row["quote_volume"]) == ("1704067200000", "1.5", "15.0")


def test_a_verified_file_is_not_fetched_again_and_a_half_written_one_is(tmp_path: Path) -> None:
    data = zipped(ROW)
    (tmp_path / "BTCUSDT-1d-2024-01-spot.zip.part").write_bytes(data[:40])
    fetch([checksum(data), Given(200, data)], folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["BTCUSDT-1d-2024-01-spot.zip"]
    (answer,), asked = fetch([checksum(data)], folder=tmp_path)
    assert (answer.payload, answer.counters["kept_files"], len(asked)) == (data, 1, 1)
    # the service has published the file anew
    newer = zipped(ROW + ROW)
    (answer,), _ = fetch([checksum(newer), Given(200, newer)], folder=tmp_path)
    assert answer.payload == newer
    assert (tmp_path / "BTCUSDT-1d-2024-01-spot.zip").read_bytes() == newer


@pytest.mark.parametrize("bad", [zipped("other"), zipped(ROW)[:80], b"", b"<html>"])
def test_a_damaged_file_is_fetched_three_times(bad: bytes, tmp_path: Path) -> None:
    data = zipped(ROW)
    (answer,), asked = fetch([checksum(data), Given(200, bad), Given(200, bad), Given(200, data)], folder=tmp_path)
    if bad == b"<html>":
        assert answer.payload == data
        return
    assert (answer.state, answer.counters["refetched_files"]) == ("complete", 2)
    (answer,), asked = fetch([checksum(data), *[Given(200, bad)] * 3])
    assert (answer.state, answer.code, len(asked)) == ("failed", "CHECKSUM", 4)
    assert "its SHA-256 is" in str(answer.error) and str(answer.error).endswith("3 times")


@pytest.mark.parametrize(
    "data",
    [zipped(ROW, other="x"), zipped(ROW, name="rows.txt"), b"PK no zip at all", zipped(b"\xff\xfe\x00")],
)
def test_a_file_with_a_right_checksum_and_a_wrong_inside_fails(data: bytes) -> None:
    (answer,), _ = fetch([checksum(data), *[Given(200, data)] * 3])
    assert (answer.state, answer.code) == ("failed", "CHECKSUM")
    with pytest.raises(DataContractError):
        read_archive(data, JANUARY.request)


def test_a_month_without_a_file_is_empty_and_a_checksum_that_is_none_a_failure() -> None:
    (answer,), asked = fetch([Given(404, b"<Error/>")])
    assert (answer.state, answer.code, answer.payload, len(asked)) == ("empty", "NO_ARCHIVE", None, 1)
    (answer,), _ = fetch([Given(200, b"no checksum")] * 5)
    assert (answer.state, answer.code) == ("failed", "BODY_PARSE")


@pytest.mark.parametrize(
    ("text", "openings"),
    [
        (ROW, ["1704067200000"]),
        (HEADER + ROW, ["1704067200000"]),
        (MICRO, ["1735689600000000"]),
        (HEADER, []),
        ("", []),
    ],
)
def test_a_line_of_names_is_no_row_and_times_stay_as_written(text: str, openings: list[str]) -> None:
    table = read_archive(zipped(text), JANUARY.request)
    assert table.column("opened_at").to_pylist() == openings


def test_a_torn_line_is_a_row_without_values() -> None:
    table = read_archive(zipped(ROW + "1704153600000,1.0\n" + ROW), JANUARY.request)
    assert table.column("opened_at").to_pylist() == ["1704067200000", None, "1704067200000"]
    assert table.column("row").to_pylist()[1] == '["1704153600000","1.0"]'


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=120), st.text(max_size=120).map(zipped)))
def test_whatever_a_file_holds_it_is_an_error_or_rows(data: bytes) -> None:
    try:
        table = read_archive(data, JANUARY.request)
    except DataContractError:
        return
    assert set(table.column("symbol").to_pylist()) <= {"BINANCE:BTCUSDT"}
