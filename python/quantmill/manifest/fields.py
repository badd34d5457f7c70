"""The data dictionary: what each field of the scanner's interface means, and in which timeframes it may be asked for.

A field is written as the interface has it: `Recommend.All|240` is the field `Recommend.All` on bars of four hours,
`close[1]` the close of the previous bar. Without a suffix it is of the day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quantmill.errors import BadValue
from quantmill.manifest.explaining import explain, nearest
from quantmill.manifest.files import read_mapping

Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1W", "1M"]
# The suffix of the interface for each timeframe; a day has none.
SUFFIXES: dict[str, str] = {
    "1m": "|1",
    "3m": "|3",
    "5m": "|5",
    "15m": "|15",
    "30m": "|30",
    "1h": "|60",
    "2h": "|120",
    "4h": "|240",
    "1d": "",
    "1W": "|1W",
    "1M": "|1M",
}
_WRITTEN = re.compile(r"(?P<name>[^|\[\]]+)(?P<previous>\[1\])?(?P<suffix>\|\w+)?")


class FieldEntry(BaseModel):
    """One field: what it means, its unit, its range, its timeframes, and whether features or metadata ask for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    meaning: str = Field(min_length=1)
    unit: str = Field(min_length=1)
    type: Literal["number", "text", "list"] = "number"
    range: tuple[float | None, float | None] | None = Field(default=None, description="ends included; null: open")
    timeframes: Annotated[tuple[Timeframe, ...], Field(min_length=1)] = Field(
        default=("1d",), description="of a value that has no timeframe: 1d"
    )
    is_feature: bool = Field(default=False, description="part of the vendor's features, on all of its timeframes")
    is_metadata: bool = Field(default=False, description="asked for as metadata of a symbol")
    status: Literal["confirmed", "unconfirmed"] = Field(
        default="unconfirmed", description="confirmed: seen in a recorded answer of the interface"
    )


class _DictionaryFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, FieldEntry]


@dataclass(frozen=True)
class Dictionary:
    """All fields by name, in the order of the file."""

    fields: Mapping[str, FieldEntry]

    def entry(self, written: str) -> FieldEntry:
        """Return the entry of a field as written, with or without timeframe. Raises `BadValue` where there is none."""
        problem = self.problem_of(written)
        if problem:
            raise BadValue(f"field '{written}': {problem[0]}", remedy=problem[1], key=written)
        return self.fields[split_field(written)[0]]

    def problem_of(self, written: str) -> tuple[str, str] | None:
        """Return what is wrong with a field as written and what to do, or None where it can be asked for."""
        name, timeframe = split_field(written)
        if name not in self.fields:
            return "it is not in manifest/fields.yml", f"{nearest(name, self.fields)}; or give it an entry there"
        if timeframe is None:
            return "its suffix is no timeframe", f"valid: {', '.join(suffix for suffix in SUFFIXES.values() if suffix)}"
        if timeframe not in self.fields[name].timeframes:
            return (
                f"{name} has no timeframe {timeframe}",
                f"manifest/fields.yml gives it {', '.join(self.fields[name].timeframes)}",
            )
        return None

    def features(self, timeframes: Iterable[str]) -> tuple[str, ...]:
        """Return the vendor's features on these timeframes as the interface writes them."""
        return tuple(
            name + SUFFIXES[timeframe]
            for timeframe in timeframes
            for name, entry in self.fields.items()
            if entry.is_feature and timeframe in entry.timeframes
        )

    @property
    def metadata(self) -> tuple[str, ...]:
        """The fields that metadata of a symbol are asked for with."""
        return tuple(name for name, entry in self.fields.items() if entry.is_metadata)


def split_field(written: str) -> tuple[str, str | None]:
    """Return name and timeframe of a field as written; the timeframe is None where the suffix is none."""
    match = _WRITTEN.fullmatch(written)
    if match is None:
        return written, "1d"
    suffix = match["suffix"] or ""
    return match["name"], next((name for name, known in SUFFIXES.items() if known == suffix), None)


def load_dictionary(manifest: Path) -> Dictionary:
    """Return the data dictionary of a manifest. Raises `BadValue` or `UnknownKey` naming field and key."""
    try:
        found = _DictionaryFile.model_validate(read_mapping(manifest / "fields.yml"))
    except ValidationError as error:
        raise explain(error, _DictionaryFile, lambda _: "manifest/fields.yml") from None
    return Dictionary(found.fields)
