"""The prices that ship inside the skfolio wheel, so that a newcomer sees real data without a network."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from quantmill.errors import BadValue, UnknownKey, UsageError

from ingest.exchanges import SYMBOL_PATTERN
from ingest.loads import Session, land_bars, land_metadata
from ingest.sources.files import csv_header, require_column
from ingest.storing import Outcome


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SymbolDefaults(_Record):
    """What every symbol of one file shares."""

    asset_class: Literal["equity", "etf", "index"]
    asset_type: Literal["stock", "fund", "index"]
    region: str
    subclass: str
    venue_class: Literal["listed", "index"]
    base: str | None
    quote: str | None
    calendar_id: str
    timezone: str
    tick_size: float = Field(gt=0, description="smallest price step, in the quote currency")
    sector: str | None = None


class EmbeddedSymbol(_Record):
    """One column of a file."""

    symbol: str = Field(pattern=SYMBOL_PATTERN)
    economic_id: str
    sector: str | None = None


class EmbeddedFile(_Record):
    """One file of the package."""

    file: str = Field(pattern=r"^[A-Za-z0-9_]+\.csv\.gz$")
    date_column: str
    interval: Literal["1d"]
    adjustment: Literal["none", "splits", "total_return"]
    note: str
    defaults: SymbolDefaults
    columns: dict[str, EmbeddedSymbol] = Field(min_length=1)


class EmbeddedSource(_Record):
    """The whole of `manifest/sources/embedded.yml`."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    package: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    folder: str = Field(pattern=r"^[a-z0-9_/]+$")
    files: tuple[EmbeddedFile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _symbols_are_unique(self) -> EmbeddedSource:
        symbols = [entry.symbol for file in self.files for entry in file.columns.values()]
        doubled = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        if doubled:
            raise ValueError(f"symbols mapped twice: {', '.join(doubled)}")
        return self

    def metadata(self) -> list[dict[str, Any]]:
        """Return one description per symbol, by symbol."""
        rows = [
            {
                **file.defaults.model_dump(),
                **entry.model_dump(exclude_unset=True),
                "adjustment": file.adjustment,
                "source_note": f"{self.package} {file.file}: {file.note}",
            }
            for file in self.files
            for entry in file.columns.values()
        ]
        return sorted(rows, key=lambda row: row["symbol"])


def read_manifest(path: Path) -> EmbeddedSource:
    """Read and check the manifest of the embedded data.

    Raises `UnknownKey` naming file, key and nearest valid key, and `BadValue` for anything else that is
    wrong.
    """
    import yaml

    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path} is missing", remedy="restore it from the repository", path=str(path)) from error
    except yaml.YAMLError as error:
        raise BadValue(f"{path} is not YAML: {error}", remedy="correct the file", path=str(path)) from error
    try:
        return EmbeddedSource.model_validate(body)
    except ValidationError as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: ValidationError) -> UsageError:
    # A misspelt key is also a missing one: name what is there.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    where = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = EmbeddedSource if len(where) == 1 else EmbeddedFile
        if "columns" in where:
            model = EmbeddedSymbol
        elif "defaults" in where:
            model = SymbolDefaults
        near = difflib.get_close_matches(where[-1], list(model.model_fields), n=1, cutoff=0.0)[0]
        return UnknownKey(
            f"{path}: unknown key {'.'.join(where)}",
            remedy=f"did you mean {near!r}?",
            path=str(path),
            key=where[-1],
        )
    return BadValue(
        f"{path}: {'.'.join(where) or 'the file'}: {first['msg']}, found {first['input']!r:.80}",
        remedy="correct the value",
        path=str(path),
    )


def package_folder(source: EmbeddedSource) -> Path:
    """Return the folder of the data files, found without importing the package (its import costs seconds)."""
    spec = importlib.util.find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"the package {source.package} is not installed", remedy="run 'make setup'")
    return Path(next(iter(spec.submodule_search_locations))) / source.folder


def land_embedded(
    session: Session,
    source: EmbeddedSource,
    folder: Path,
    *,
    force: bool,
    report: Callable[[str, Outcome], None],
) -> list[Outcome]:
    """Land the metadata, then the bars of every file; `report` gets the name and outcome of each."""
    payloads = [(file, *_payload(source, file, folder)) for file in source.files]
    outcomes = []
    now = session.clock()
    outcome = land_metadata(
        session,
        source=source.source,
        origin="manifest/sources/embedded.yml",
        rows=source.metadata(),
        received_at=now,
    )
    report("metadata", outcome)
    outcomes.append(outcome)
    for file, data, request in payloads:
        outcome = land_bars(
            session,
            source=source.source,
            origin=file.file,
            data=data,
            extension="csv.gz",
            request=request,
            received_at=session.clock(),
            force=force,
        )
        report(file.file, outcome)
        outcomes.append(outcome)
    return outcomes


def _payload(source: EmbeddedSource, file: EmbeddedFile, folder: Path) -> tuple[bytes, dict[str, Any]]:
    path = folder / file.file
    if not path.is_file():
        raise UsageError(
            f"{path} is missing from the package {source.package}",
            remedy="run 'make setup' to install the locked version",
            path=str(path),
        )
    data = path.read_bytes()
    header = csv_header(data, compression="gzip", delimiter=",", origin=str(path))
    for column in (file.date_column, *file.columns):
        require_column(header, column, origin=str(path), option="manifest/sources/embedded.yml")
    request = {
        "layout": "wide",
        "format": "csv",
        "compression": "gzip",
        "delimiter": ",",
        "columns": header,
        "time_column": file.date_column,
        "time_kind": "date",
        "timezone": file.defaults.timezone,
        "timezones": {},
        "symbols": {column: entry.symbol for column, entry in file.columns.items()},
        "interval": file.interval,
        "adjustment": file.adjustment,
    }
    return data, request
