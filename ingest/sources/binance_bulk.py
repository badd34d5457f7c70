"""Binance's archives: zipped klines of closed months and days, each with a checksum. Unconfirmed, as `binance`.

A file is fetched as `NAME.zip.part` in a folder of downloads, verified (length, SHA-256 of `NAME.zip.CHECKSUM`, one
whole CSV inside) and renamed; a `.part` that a kill left is fetched again. Some files of futures begin with a line of
column names. Times are microseconds in files of spot from 2025 on and milliseconds before; they are kept as written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from quantmill.errors import DataContractError, UsageError

from ingest.answers import Answer
from ingest.sources.binance import INTERVALS, Market, binance_ticker, kline_table
from ingest.sources.common import BarRequest, answer, failed
from ingest.transport import Progress, Reply, Transport, gathered

if TYPE_CHECKING:
    import pyarrow as pa

SOURCE = "binance_bulk"
FOLDERS: dict[Market, str] = {"spot": "spot", "usdm": "futures/um", "coinm": "futures/cm"}
FETCHES = 3
LARGEST_CSV = 512 << 20


@dataclass(frozen=True)
class Archive:
    """One file: the klines of one symbol over a month (`2024-05`) or a day (`2024-05-31`)."""

    symbol: str
    interval: str
    period: str

    @property
    def name(self) -> str:
        """Name of the file without its extension."""
        return f"{self._ticker[1]}-{INTERVALS[self.interval]}-{self.period}"

    @property
    def path(self) -> str:
        market, ticker = self._ticker
        span = "monthly" if len(self.period) == 7 else "daily"
        return f"/data/{FOLDERS[market]}/{span}/klines/{ticker}/{INTERVALS[self.interval]}/{self.name}.zip"

    @property
    def _ticker(self) -> tuple[Market, str]:
        found = binance_ticker(self.symbol)
        assert found is not None
        return found

    @property
    def request(self) -> dict[str, str]:
        return {
            "symbol": self.symbol,
            "interval": self.interval,
            "adjustment": "none",
            "market": self._ticker[0],
            "period": self.period,
        }


def archives(request: BarRequest, *, with_days: bool = False) -> list[Archive]:
    """Return the archives that cover a request: its closed months and, where asked for, the days of the open one.

    Raises `UsageError` for a symbol or an interval that Binance cannot have.
    """
    if binance_ticker(request.symbol) is None or request.interval not in INTERVALS:
        raise UsageError(
            f"Binance has no archive of {request.interval} bars of {request.symbol}",
            remedy=f"ask for BINANCE:... and one of {', '.join(INTERVALS)}",
        )
    month = request.since.date().replace(day=1)
    today = request.until.astimezone(UTC).date()
    periods = []
    while month < today.replace(day=1):
        periods.append(f"{month:%Y-%m}")
        month = (month + timedelta(days=31)).replace(day=1)
    if with_days:
        periods += [f"{date.fromordinal(day)}" for day in range(month.toordinal(), today.toordinal())]
    return [Archive(request.symbol, request.interval, period) for period in periods]


def fetch_archives(
    files: Sequence[Archive],
    transport: Transport,
    *,
    folder: Path | None = None,
    workers: int = 5,
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Yield each archive, in the order in which they arrive; `empty` with the code NO_ARCHIVE
    for one that does not exist (404): nothing was traded, or the month is not published yet.

    A verified file in `folder` is not fetched again. None keeps no files.
    """
    work = gathered(files, lambda file: _fetch(file, transport, folder), workers=workers, stop=transport.stop)
    for done, one in enumerate(work, start=1):
        if progress is not None:
            progress(done, len(files), f"{one.request['symbol']} {one.request['period']}")
        yield one


def _fetch(file: Archive, transport: Transport, folder: Path | None) -> Answer:
    started_at, path, request = transport.clock(), file.path, file.request
    kept = folder / f"{file.name}-{request['market']}.zip" if folder is not None else None
    replies: list[Reply] = []

    def done(data: bytes, **counters: int) -> Answer:
        return answer(
            transport, "bars", request, path=path, state="complete", started_at=started_at, replies=replies,
            payload=data, extension="zip", counters=counters,
        )  # fmt: skip

    checksum = transport.get(f"{path}.CHECKSUM", parse=_checksum)
    replies.append(checksum)
    if checksum.status == 404:
        return answer(
            transport, "bars", request, path=path, state="empty", started_at=started_at, replies=replies,
            payload=None, extension="zip", code="NO_ARCHIVE",
            error=f"{file.name} does not exist: nothing was traded, or it is not published yet",
        )  # fmt: skip
    if checksum.code is not None:
        return failed(transport, "bars", request, path=f"{path}.CHECKSUM", started_at=started_at, replies=replies)
    if kept is not None and kept.is_file() and _fault(data := kept.read_bytes(), checksum.value) is None:
        return done(data, kept_files=1)
    fault = ""
    for number in range(1, FETCHES + 1):
        reply = transport.get(path, parse=bytes)
        replies.append(reply)
        if reply.code is not None:
            return failed(transport, "bars", request, path=path, started_at=started_at, replies=replies)
        found = _fault(reply.body, checksum.value)
        if found is None:
            if kept is not None:
                _keep(kept, reply.body)
            return done(reply.body, refetched_files=number - 1)
        fault = found
    return failed(
        transport, "bars", request, path=path, started_at=started_at, replies=replies, code="CHECKSUM",
        error=f"{transport.origin}{path}: {fault}, {FETCHES} times",
    )  # fmt: skip


def _checksum(body: bytes) -> str:
    found = re.match(rb"\s*([0-9a-fA-F]{64})\b", body)
    if found is None:
        raise ValueError("needs a SHA-256 in hex")
    return found[1].decode().lower()


def _fault(data: bytes, checksum: str) -> str | None:
    """Return what is wrong with a file that was fetched, or None."""
    found = hashlib.sha256(data).hexdigest()
    if found != checksum:
        return f"its SHA-256 is {found[:12]}..., the checksum says {checksum[:12]}..."
    try:
        _csv_text(data)
    except DataContractError as error:
        return error.message
    return None


def _csv_text(data: bytes) -> str:
    """Return the one CSV of a zip as text. Raises `DataContractError` for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) != 1 or not members[0].filename.lower().endswith(".csv"):
                raise DataContractError(
                    f"the zip holds {', '.join(one.filename for one in members) or 'nothing'}; needs one CSV",
                    remedy="fetch it again",
                )
            if members[0].file_size > LARGEST_CSV:
                raise DataContractError(
                    f"the CSV has {members[0].file_size:,} bytes; the limit is {LARGEST_CSV:,}", remedy="fetch it again"
                )
            return archive.read(members[0]).decode("utf-8")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise DataContractError(f"the file is no whole zip of a CSV: {error}", remedy="fetch it again") from error


def _keep(path: Path, data: bytes) -> None:
    """Write a verified file under a name that no kill can leave half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(path)


def read_archive(payload: bytes, request: Mapping[str, str]) -> pa.Table:
    """Return the klines of one archive as `BAR_COLUMNS`, without a line of column names.

    Raises `DataContractError` when the payload is no whole zip of one CSV.
    """
    try:
        lines = list(csv.reader(io.StringIO(_csv_text(payload), newline="")))
    except csv.Error as error:
        raise DataContractError(f"the CSV cannot be split: {error}", remedy="fetch it again") from error
    rows = [line for line in lines if line]
    if rows and rows[0][0].strip().lower() in ("open_time", "opentime", "open time"):
        rows = rows[1:]
    return kline_table(rows, request)
