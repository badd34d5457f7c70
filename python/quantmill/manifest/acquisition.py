"""What the data cycle of a profile fetches, from where and how gently: never part of a run, so it changes no run id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from quantmill.errors import BadValue, UnknownKey, UsageError
from quantmill.manifest.compose import resolve
from quantmill.manifest.explaining import explain, nearest
from quantmill.manifest.fields import load_dictionary
from quantmill.manifest.files import NAME, read_mapping, read_table, short
from quantmill.manifest.scanners import SYMBOL_PATTERN, Scanner
from quantmill.manifest.settings import InterfaceName, Record, SourceName

ADDRESS_PREFIX = "QUANTMILL_ADDRESS_"
INTERFACES: tuple[InterfaceName, ...] = get_args(InterfaceName)
_SOCKETS = ("tradingview_socket",)
_MEMBER_COLUMNS = ("symbol", "index", "valid_from", "valid_to")


class Pacing(Record):
    """How fast one interface may be asked; `weight_per_minute` is an allowance whose use the service reports."""

    requests_per_second: float = Field(gt=0, allow_inf_nan=False)
    concurrent: int = Field(gt=0)
    weight_per_minute: Annotated[int, Field(gt=0)] | None = None


class Retry(Record):
    """How often a request is tried, and after which pauses: between 0 and base * 2^k seconds, capped."""

    attempts: int = Field(gt=0)
    base_seconds: float = Field(gt=0)
    cap_seconds: float = Field(gt=0)
    connect_seconds: float = Field(gt=0)
    read_seconds: float = Field(gt=0)


class Interface(Record):
    """One interface of a source: where it is, whether it is confirmed by a recording, and its limits."""

    source: SourceName
    address: str = Field(description="base address without a path")
    status: Literal["confirmed", "unconfirmed"]
    unconfirmed: tuple[str, ...] = Field(default=(), description="parts known from public use alone")
    pacing: Pacing
    retry: Retry
    page_rows: Annotated[int, Field(gt=0)] | None = Field(default=None, description="rows of one request at most")
    symbols_per_request: Annotated[int, Field(gt=0)] | None = None
    symbols_per_connection: Annotated[int, Field(gt=0)] | None = None
    depth_daily: Annotated[int, Field(gt=0)] | None = Field(default=None, description="daily bars it goes back")
    depth_intraday: Annotated[int, Field(gt=0)] | None = None


class _SourceFile(Record):
    interfaces: dict[InterfaceName, Interface]


@dataclass(frozen=True)
class Member:
    """A symbol in an index from `valid_from` on, before `valid_to`; None: it still is."""

    symbol: str
    index_id: str
    valid_from: date
    valid_to: date | None


@dataclass(frozen=True)
class Acquisition:
    """What the data cycle of one profile does.

    `symbols` are those that are fetched whatever a scan says: static lists of scanners and of the universe, benchmarks,
    symbols that are landed only, anchors and forced symbols, sorted. `bar_sources` stand in order of priority.
    `addresses` are base addresses by interface, and `interfaces` what else is known of each. With `clock` request,
    `as_of` stands for now. `feature_fields` and `metadata_fields` are written as the scanner's interface has them.
    """

    profile: str
    as_of: datetime
    scanners: tuple[Scanner, ...]
    symbols: tuple[str, ...]
    anchor_symbols: tuple[str, ...]
    bar_sources: tuple[str, ...]
    addresses: Mapping[str, str]
    interfaces: Mapping[str, Interface]
    clock: Literal["wall", "request"]
    calendar_id: str
    lookback_sessions: int
    history_floor: int
    has_rating_history: bool
    has_total_return: bool
    repair_seconds: int
    feature_timeframes: tuple[str, ...]
    feature_fields: tuple[str, ...]
    metadata_fields: tuple[str, ...]
    is_strict: bool
    index_members: Mapping[str, tuple[Member, ...]]

    def members(self, index_id: str, day: date) -> tuple[str, ...]:
        """Return the symbols that were in an index on a day, sorted.

        Raises `UsageError` where the table has none for that day.
        """
        found = tuple(
            sorted(
                member.symbol
                for member in self.index_members.get(index_id, ())
                if member.valid_from <= day and (member.valid_to is None or day < member.valid_to)
            )
        )
        if not found:
            raise UsageError(
                f"manifest/indices/{index_id}.csv has no member of '{index_id}' on {day}",
                remedy="fill in who was a member from when to when; no history of members ships with the project",
                index=index_id,
            )
        return found


def load_acquisition(
    manifest: Path, profile: str, *, overrides: Mapping[str, Any], environment: Mapping[str, str]
) -> Acquisition:
    """Return what the data cycle of `profile` fetches.

    Addresses come from `QUANTMILL_ADDRESS_<INTERFACE>` in `environment`, else from the profile, else from
    manifest/sources. Raises what `resolve` raises, `UnknownKey` for an unknown interface, `BadValue` for an address
    that is none, and `UsageError` where a scanner needs an index without members.
    """
    resolved = resolve(manifest, profile, overrides=overrides, environment=environment)
    settings, wanted = resolved.settings, resolved.acquisition
    interfaces = load_interfaces(manifest)
    stated: dict[str, str] = {
        **{str(name): one for name, one in wanted.addresses.items()},
        **addresses_of(environment),
    }
    for name, address in stated.items():
        _require_address(name, address)
    scanners = tuple(one.scanner for one in resolved.scanners)
    universe = settings.universe
    symbols = {
        *universe.symbols,
        *universe.landed_only,
        *universe.anchor_symbols,
        *universe.forced_symbols,
        *settings.benchmarks,
        *(symbol for scanner in scanners for symbol in scanner.symbols),
    }
    indices = sorted({scanner.index_id for scanner in scanners if scanner.index_id})
    dictionary = load_dictionary(manifest)
    acquisition = Acquisition(
        profile=profile,
        as_of=settings.as_of.astimezone(UTC),
        scanners=scanners,
        symbols=tuple(sorted(symbols)),
        anchor_symbols=universe.anchor_symbols,
        bar_sources=wanted.bar_sources,
        addresses={name: stated.get(name, one.address).rstrip("/") for name, one in interfaces.items()},
        interfaces={str(name): one for name, one in interfaces.items()},
        clock=wanted.clock,
        calendar_id=settings.calendar_id,
        lookback_sessions=settings.lookback_sessions,
        history_floor=settings.selection.history_floor,
        has_rating_history=wanted.has_rating_history,
        has_total_return=wanted.has_total_return,
        repair_seconds=wanted.repair_seconds,
        feature_timeframes=wanted.feature_timeframes,
        feature_fields=dictionary.features(wanted.feature_timeframes),
        metadata_fields=dictionary.metadata,
        is_strict=settings.quality.gate == "strict",
        index_members={name: load_members(manifest, name) for name in indices},
    )
    for name in indices:
        acquisition.members(name, acquisition.as_of.date())
    return acquisition


def load_interfaces(manifest: Path) -> dict[InterfaceName, Interface]:
    """Return every interface of manifest/sources by name. Raises `BadValue` where one is missing or not valid."""
    found: dict[InterfaceName, Interface] = {}
    for path in sorted((manifest / "sources").glob("*.yml")):
        content = read_mapping(path)
        if "interfaces" not in content:
            continue  # data that ship in a package have no interface
        found.update(_interfaces_of(content, short(path)))
    missing = [name for name in INTERFACES if name not in found]
    if missing:
        raise BadValue(
            f"manifest/sources describes no interface '{missing[0]}'", remedy="restore it from version control"
        )
    for name, interface in found.items():
        _require_address(name, interface.address)
    return {name: found[name] for name in INTERFACES}


def _interfaces_of(content: Mapping[str, Any], place: str) -> Mapping[InterfaceName, Interface]:
    try:
        return _SourceFile.model_validate(content).interfaces
    except ValidationError as error:
        raise explain(error, _SourceFile, lambda _: place) from None


def load_members(manifest: Path, index_id: str) -> tuple[Member, ...]:
    """Return the members of an index over time, by symbol and first day.

    Raises `BadValue` for a symbol or a day that is none, for another index, and for intervals of a symbol that overlap.
    """
    if not NAME.fullmatch(index_id):
        raise BadValue(f"{index_id!r} is no name of an index", remedy="lower-case letters, digits and underscores")
    path = manifest / "indices" / f"{index_id}.csv"
    members = []
    for number, row in enumerate(read_table(path, _MEMBER_COLUMNS), 2):
        place = f"{short(path)} line {number}"
        if not re.fullmatch(SYMBOL_PATTERN, row["symbol"]):
            raise BadValue(f"{place}: '{row['symbol']}' is no symbol", remedy="write EXCHANGE:TICKER")
        if row["index"] != index_id:
            raise BadValue(f"{place}: the index is '{row['index']}'", remedy=f"the file is that of '{index_id}'")
        first, last = _day(row["valid_from"], place), _day(row["valid_to"], place) if row["valid_to"] else None
        if last is not None and last <= first:
            raise BadValue(f"{place}: valid_to {last} is not after valid_from {first}", remedy="correct the days")
        members.append(Member(row["symbol"], index_id, first, last))
    members.sort(key=lambda one: (one.symbol, one.valid_from))
    for one, two in pairwise(members):
        if one.symbol == two.symbol and (one.valid_to is None or one.valid_to > two.valid_from):
            raise BadValue(
                f"{short(path)}: {one.symbol} is a member twice on {two.valid_from}", remedy="end the first interval"
            )
    return tuple(members)


def load_indices(manifest: Path) -> tuple[Member, ...]:
    """Return the members of every index that has a table under manifest/indices, by index, symbol and first day.

    Raises `BadValue` as `load_members` does.
    """
    names = sorted(path.stem for path in (manifest / "indices").glob("*.csv"))
    return tuple(member for name in names for member in load_members(manifest, name))


def _day(text: str, place: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadValue(f"{place}: '{text}' is no day", remedy="write it like 2024-03-18") from None


def addresses_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the base addresses that `QUANTMILL_ADDRESS_<INTERFACE>` in `environment` states, by interface.

    Raises `UnknownKey` for an interface that there is not, `BadValue` for an address that is none.
    """
    found = {}
    for variable, address in sorted(environment.items()):
        if variable.startswith(ADDRESS_PREFIX):
            name = variable.removeprefix(ADDRESS_PREFIX).lower()
            if name not in INTERFACES:
                hint = nearest(name, INTERFACES)
                raise UnknownKey(f"the environment sets {variable}, but there is no interface '{name}'", remedy=hint)
            _require_address(name, address)
            found[name] = address
    return found


def _require_address(name: str, address: str) -> None:
    schemes = ("ws", "wss") if name in _SOCKETS else ("http", "https")
    try:
        parts = urlsplit(address)
        # asking for the port is what finds one that is no number
        is_whole = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        is_whole = is_whole and not ("@" in parts.netloc or parts.query or parts.fragment)
    except ValueError:
        is_whole = False
    if not is_whole:
        # a password would be repeated by the message, so the address is not
        raise BadValue(
            f"the address of '{name}' is no base address: {' or '.join(schemes)}, a host and no secret were needed",
            remedy=f"write it like {schemes[0]}://127.0.0.1:47800",
            key=name,
        )
