"""Recorded answers in place of the network: `--record DIR` keeps what sources answer, `--fixtures DIR` gives it again.

One JSON file per question:

- `scan/<scanner_id>.json`
- `bars/<source>/<EXCHANGE>_<TICKER>.<interval>.<adjustment>.json`
- `symbol_metadata/<market>.<16 hex>.json` and `vendor_features/...`: the digits are of the symbols and fields asked for
- `execution_limits/<market>.json`
- `symbol/<EXCHANGE>_<TICKER>.json`, for symbols whose prefix had to be looked up

A file is a list of `{"asked": {...}, "answers": [...]}` in the order of recording. An answer has the fields of
`ingest.answers.Answer`; its payload is text where it is UTF-8, else base64. Of several recordings of one question the
one that was asked in the same words counts (for bars: as many, until the same moment), else the last.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantmill.errors import DataContractError, UsageError

from ingest.answers import Answer, Attempt
from ingest.landing import canonical_json, digest, utc_moment, utc_text

if TYPE_CHECKING:
    from quantmill.manifest.scanners import Scanner

    from ingest.network import Network
    from ingest.sources.binance import Market
    from ingest.sources.common import BarRequest
    from ingest.sources.tradingview_scanner import LookupKind
    from ingest.transport import Progress

Question = tuple[Path, dict[str, Any], str]  # file, what was asked, the question for people


def _of_scan(scanner: Scanner, pool: Sequence[str] | None) -> Question:
    asked = {"config_hash": scanner.config_hash, "pool": sorted(pool) if pool is not None else None}
    return Path("scan", f"{scanner.scanner_id}.json"), asked, f"the scanner {scanner.scanner_id}"


def _of_bars(source: str, one: BarRequest) -> Question:
    name = f"{one.symbol.replace(':', '_', 1)}.{one.interval}.{one.adjustment}.json"
    asked = {"count": one.count, "until": utc_text(one.until)}
    return Path("bars", source, name), asked, f"{one.interval} bars of {one.symbol} from {source}"


def _of_fields(symbols: Sequence[str], names: Sequence[str], kind: str, market: str) -> Question:
    asked = {"symbols": sorted(set(symbols)), "fields": list(names)}
    mark = digest(canonical_json(asked).encode())[:16]
    return Path(kind, f"{market}.{mark}.json"), asked, f"{kind} of {len(asked['symbols'])} symbols of {market}"


def _of_symbol(symbol: str) -> Question:
    return Path("symbol", f"{symbol.replace(':', '_', 1)}.json"), {}, f"the description of {symbol}"


def _of_limits(market: str) -> Question:
    return Path("execution_limits", f"{market}.json"), {}, f"the limits of {market}"


class Fixtures:
    """The sources of one command as they were recorded in a folder; nobody is asked. See the module for its layout.

    Every method raises `UsageError` for a question without a recording, before it gives any answer.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder of recorded answers", remedy="make one with --record DIR")
        self.folder = folder

    def latest(self) -> datetime:
        """Return when the newest answer of the folder was received. Raises `UsageError` where it holds none."""
        moments = [
            one["received_at"]
            for path in sorted(self.folder.rglob("*.json"))
            for recording in _read(path)
            for one in recording["answers"]
        ]
        if not moments:
            raise UsageError(f"{self.folder} holds no recorded answer", remedy="make some with --record DIR")
        return utc_moment(max(moments))

    def scans(
        self,
        scanners: Sequence[Scanner],
        *,
        pools: Mapping[str, Sequence[str]] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the recorded answer to each scanner; one that was recorded with another configuration is absent."""
        members = pools or {}
        asked = [_of_scan(one, members.get(one.index_id) if one.index_id is not None else None) for one in scanners]
        return self._told(asked, progress, is_exact=True)

    def fields(
        self,
        symbols: Sequence[str],
        fields: Sequence[str],
        *,
        kind: LookupKind,
        market: str = "global",
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the recorded fields of exactly these symbols."""
        return self._told([_of_fields(symbols, fields, kind, market)], progress)

    def symbol_fields(
        self, symbols: Sequence[str], fields: Sequence[str], *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the recorded description of each symbol."""
        return self._told([_of_symbol(one) for one in sorted(set(symbols))], progress)

    def limits(
        self, markets: Sequence[Market] = ("spot", "usdm"), *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the recorded limits of each market."""
        return self._told([_of_limits(one) for one in markets], progress)

    def bars(
        self, source: str, requests: Sequence[BarRequest], *, is_slow: bool = False, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the recorded bars of each request."""
        return self._told([_of_bars(source, one) for one in requests], progress)

    def _told(
        self, questions: Sequence[Question], progress: Progress | None, *, is_exact: bool = False
    ) -> Iterator[Answer]:
        found = [self._recorded(*one, is_exact=is_exact) for one in questions]

        def tell() -> Iterator[Answer]:
            for done, (answers, (_, _, words)) in enumerate(zip(found, questions, strict=True), start=1):
                yield from answers
                if progress is not None:
                    progress(done, len(questions), words)

        return tell()

    def _recorded(self, name: Path, asked: Mapping[str, Any], words: str, *, is_exact: bool) -> list[Answer]:
        path = self.folder / name
        recordings = _read(path) if path.is_file() else []
        same = [one for one in recordings if one["asked"] == asked]
        chosen = same or ([] if is_exact else recordings)
        if not chosen:
            found = "holds another question" if recordings else "is not there"
            raise UsageError(f"no answer was recorded for {words}: {path} {found}", remedy="record it with --record")
        return [_answer(one, path) for one in chosen[-1]["answers"]]


class Recorder:
    """The sources of one command, each of whose answers is also kept in a folder. See the module for its layout.

    Bars are asked for one series after the other: slower than without it.
    """

    def __init__(self, network: Network, folder: Path) -> None:
        self.network = network
        self.folder = folder

    def scans(
        self,
        scanners: Sequence[Scanner],
        *,
        pools: Mapping[str, Sequence[str]] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the answer to each scanner as it comes."""
        members = pools or {}
        by_id = {
            one.scanner_id: _of_scan(one, members.get(one.index_id) if one.index_id is not None else None)
            for one in scanners
        }
        return self._kept(
            self.network.scans(scanners, pools=pools, progress=progress),
            lambda answer: by_id[answer.request["scanner_id"]],
        )

    def fields(
        self,
        symbols: Sequence[str],
        fields: Sequence[str],
        *,
        kind: LookupKind,
        market: str = "global",
        progress: Progress | None = None,
    ) -> Iterator[Answer]:
        """Yield the fields of symbols."""
        answers = self.network.fields(symbols, fields, kind=kind, market=market, progress=progress)
        return self._kept(answers, _of_fields(symbols, fields, kind, market))

    def symbol_fields(
        self, symbols: Sequence[str], fields: Sequence[str], *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield what the service says of each symbol."""
        answers = self.network.symbol_fields(symbols, fields, progress=progress)
        return self._kept(answers, lambda answer: _of_symbol(answer.request["symbol"]))

    def limits(
        self, markets: Sequence[Market] = ("spot", "usdm"), *, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the limits of each market."""
        return self._kept(
            self.network.limits(markets, progress=progress), lambda answer: _of_limits(answer.request["market"])
        )

    def bars(
        self, source: str, requests: Sequence[BarRequest], *, is_slow: bool = False, progress: Progress | None = None
    ) -> Iterator[Answer]:
        """Yield the bars of each request as they arrive."""
        for one in requests:  # one after the other: several answers may be to one request
            answers = self.network.bars(source, [one], is_slow=is_slow, progress=progress)
            yield from self._kept(answers, _of_bars(source, one))

    def _kept(self, answers: Iterator[Answer], of: Question | Callable[[Answer], Question]) -> Iterator[Answer]:
        """Yield answers, and keep them under the question of all, or of each, when all have come."""
        kept: dict[Path, tuple[dict[str, Any], list[Answer]]] = {}
        for one in answers:
            name, asked, _ = of(one) if callable(of) else of
            kept.setdefault(name, (asked, []))[1].append(one)
            yield one
        for name, (asked, group) in sorted(kept.items()):
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            recordings = [one for one in (_read(path) if path.is_file() else []) if one["asked"] != asked]
            recordings.append({"asked": asked, "answers": [_plain(one) for one in group]})
            path.write_text(json.dumps(recordings, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        recordings: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        if not all(isinstance(one["asked"], dict) and isinstance(one["answers"], list) for one in recordings):
            raise ValueError("asked and answers were needed")
    except (ValueError, KeyError, TypeError) as error:
        raise DataContractError(f"{path} is no recording: {error}", remedy="record it again") from None
    return recordings


def _plain(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON values."""
    value = {one.name: getattr(answer, one.name) for one in fields(answer)}
    value |= {name: utc_text(value[name]) for name in ("started_at", "received_at")}
    value["attempts"] = [{**asdict(one), "started_at": utc_text(one.started_at)} for one in answer.attempts]
    value["request"], value["counters"] = dict(answer.request), dict(answer.counters)
    payload = value.pop("payload")
    if payload is not None:
        try:
            value["payload_text"] = payload.decode("utf-8")
        except UnicodeDecodeError:
            value["payload_base64"] = base64.b64encode(payload).decode("ascii")
    return value


def _answer(value: Mapping[str, Any], path: Path) -> Answer:
    try:
        parts = dict(value)
        text, encoded = parts.pop("payload_text", None), parts.pop("payload_base64", None)
        parts["payload"] = text.encode() if text is not None else base64.b64decode(encoded) if encoded else None
        parts |= {name: utc_moment(parts[name]) for name in ("started_at", "received_at")}
        parts["attempts"] = tuple(
            Attempt(**{**one, "started_at": utc_moment(one["started_at"])}) for one in parts.get("attempts", ())
        )
        return Answer(**parts)
    except (ValueError, KeyError, TypeError) as error:
        raise DataContractError(
            f"{path} holds an answer that cannot be read: {error}", remedy="record it again"
        ) from None
