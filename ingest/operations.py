"""The data commands: scan, metadata, bars, features, repair, recover, audit, and flow, which is all of them.

Each returns a `Result`: counts by status, what failed with the remedy, and its exit code, which is also written to
`ops.commands`. Nothing is raised for a symbol that fails; a command that could not begin raises.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import UsageError

from ingest import registry
from ingest.answers import Answer
from ingest.exchanges import EXCHANGES, Exchange
from ingest.landing import Load, canonical_json, digest
from ingest.loads import Outcome, Session, land_answers, take_snapshot
from ingest.scope import check_symbols, earlier_symbols, passing_symbols, scope_symbols
from ingest.sync import FAILED_STATUSES, CanHave, Pass, Progress, Rules, Synchroniser, Teller

if TYPE_CHECKING:
    from quantmill.manifest.acquisition import Acquisition
    from quantmill.manifest.scanners import Scanner

    from ingest.network import Network

FEATURE_ATTEMPTS = 3
FEATURE_WAIT = 3.0
METADATA_SHARE = 0.95
DATA, HEALTH, NETWORK = 3, 4, 5
# Where a failure lies, when there was no answer at all.
_NETWORK_CODES = (
    "CONNECTION", "TIMEOUT", "RATE_LIMITED", "SERVER_ERROR", "CIRCUIT_OPEN", "GEO_BLOCKED", "BANNED", "CAPTCHA",
    "HTML_PAGE", "HTTP_ERROR", "HANDSHAKE", "FAILED",
)  # fmt: skip


@dataclass
class Result:
    """What a command did: `failed` are lines about what is still wrong, `remedy` the command that helps."""

    command: str
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remedy: str = ""
    exit_code: int = 0
    health: list[dict[str, Any]] = field(default_factory=list)
    loads: list[tuple[Load, Outcome]] = field(default_factory=list)


@dataclass
class Cycle:
    """One data command at work.

    `as_of` is the moment it runs for (aware), `make_network` opens the sources as of a moment, `profile` is what the
    manifest says, None for symbols named one by one with `rules`.
    """

    session: Session
    as_of: datetime
    make_network: Callable[[datetime], Network]
    rules: Rules
    acquisition: Acquisition | None
    can_have: CanHave
    tell: Teller
    timer: Callable[[], float]
    sleep: Callable[[float], None]
    symbols: tuple[str, ...] = ()
    is_forced: bool = False
    is_strict: bool = False
    waiver: str | None = None
    _networks: dict[datetime, Network] = field(default_factory=dict)

    @property
    def network(self) -> Network:
        """The sources as of `as_of`: one client per interface for the whole command."""
        if self.as_of not in self._networks:
            self._networks[self.as_of] = self.make_network(self.as_of)
        return self._networks[self.as_of]

    @property
    def profile(self) -> str | None:
        return self.acquisition.profile if self.acquisition else None

    def scope(self) -> list[str]:
        """Return the symbols that the command is about. Raises `UsageError` where there is none."""
        if self.symbols:
            return check_symbols(self.symbols)
        if self.acquisition is None:
            raise UsageError("nothing says which symbols are meant", remedy="give --profile or --symbol")
        return scope_symbols(self.session.connection, self.acquisition)

    def earlier(self, current: Sequence[str]) -> list[str]:
        """Return the symbols that were candidates within the look-back and are not `current`; none for named symbols.

        They are fetched and healed like the others, but today's data are judged without them.
        """
        if self.symbols or self.acquisition is None:
            return []
        return earlier_symbols(self.session.connection, self.acquisition, self.as_of, current)

    def synchroniser(self) -> Synchroniser:
        """Return what plans and runs the passes of this command."""
        return Synchroniser(
            self.session,
            self.network,
            self.rules,
            as_of=self.as_of,
            can_have=self.can_have,
            tell=self.tell,
            timer=self.timer,
        )

    # The commands.

    def scan(self) -> Result:
        """Ask every active scanner of the profile."""
        if self.acquisition is None:
            raise UsageError("a scan needs a profile", remedy="give --profile")
        scanners = [one for one in self.acquisition.scanners if one.status != "disabled"]
        if not scanners:
            raise UsageError(
                f"the profile {self.profile} has no scanner to ask",
                remedy="'python -m quantmill list profiles' shows who has",
            )
        return self._recorded("scan", lambda result: self._scan(scanners, result), {"scanners": len(scanners)})

    def _scan(self, scanners: Sequence[Scanner], result: Result) -> None:
        assert self.acquisition is not None
        indices = {scanner.index_id for scanner in scanners if scanner.index_id}
        pools = {name: self.acquisition.members(name, self.as_of.date()) for name in sorted(indices)}
        by_id = {scanner.scanner_id: scanner for scanner in scanners}

        def context(answer: Answer) -> Mapping[str, Any]:
            scanner = by_id[answer.request["scanner_id"]]
            return {
                "scanner_id": scanner.scanner_id,
                "config_hash": scanner.config_hash,
                "resolved": scanner.canonical,
                "is_forced": self.is_forced,
            }

        with self.tell("scan", len(scanners)) as progress:
            landed = land_answers(
                self.session, self.network.scans(scanners, pools=pools, progress=progress), context=context
            )
        self._count(result, landed, lambda load: str(load.context.get("scanner_id")))
        statuses = Counter(outcome.status for _, outcome in landed)
        self._judge_network(result, landed)
        if not result.exit_code and statuses["OK_EMPTY"] == len(landed) and self.is_strict:
            result.exit_code = DATA
            result.failed.append("every scanner of the profile came back empty")
        if not result.exit_code and statuses["REJECTED"]:
            result.exit_code = DATA
        result.remedy = f"make scan-run PROFILE={self.profile}"

    def welcome(self) -> Result | None:
        """Describe whom the newest scans let pass and nobody has described yet; None where there is nobody.

        A replay needs it: by the end of it they may have left the market, and no source would know them.
        """
        assert self.acquisition is not None
        found = self._without("symbol_metadata", passing_symbols(self.session.connection, self.acquisition.scanners))
        if not found:
            return None
        return self._recorded("metadata", lambda result: self._metadata(found, result), {"symbols": len(found)})

    def metadata(self) -> Result:
        """Fetch the structural description of every symbol in scope, and the trading limits of its venue."""
        symbols = self.scope()
        earlier = self._without("symbol_metadata", self.earlier(symbols))
        return self._recorded(
            "metadata",
            lambda result: self._metadata(symbols, result, earlier=earlier),
            {"symbols": len(symbols), "earlier": len(earlier)},
        )

    def _metadata(self, symbols: Sequence[str], result: Result, *, earlier: Sequence[str] = ()) -> None:
        """Describe symbols, and those that were candidates before and nobody has described yet, as far as known."""
        fields = self.acquisition.metadata_fields if self.acquisition else METADATA_FIELDS
        wanted = [*symbols, *earlier]
        for attempt in (1, 2):
            with self.tell(f"metadata, attempt {attempt}", len(wanted)) as progress:
                landed = land_answers(
                    self.session,
                    self._fields(wanted, fields, "symbol_metadata", progress),
                    context=lambda _: {"is_forced": self.is_forced},
                )
            self._count(result, landed, lambda load: f"{len(load.request.get('tickers', ()))} symbols")
            wanted = self._without("symbol_metadata", symbols)
            if not wanted:
                break
        if any(symbol.startswith("BINANCE:") for symbol in symbols):
            with self.tell("limits", 2) as progress:
                limits = land_answers(
                    self.session,
                    self.network.limits(progress=progress),
                    context=lambda _: {"is_forced": self.is_forced},
                )
            self._count(result, limits, lambda load: f"limits of {load.request.get('market')}")
        self._judge_network(result, result.loads)
        if wanted:
            shown = ", ".join(wanted[:5]) + (" ..." if len(wanted) > 5 else "")
            result.failed.append(f"{len(wanted)} of {len(symbols)} symbols have no metadata: {shown}")
            if not result.exit_code and self.is_strict and len(wanted) > (1 - METADATA_SHARE) * len(symbols):
                result.exit_code = HEALTH
        result.remedy = f"make meta-ingest PROFILE={self.profile}" if self.profile else "python -m ingest metadata"

    def _fields(
        self,
        symbols: Sequence[str],
        fields: Sequence[str],
        kind: Literal["symbol_metadata", "vendor_features"],
        progress: Progress,
    ) -> Iterator[Answer]:
        """Yield the fields of symbols, each asked for in the market that its exchange belongs to."""
        by_market: dict[str, list[str]] = {}
        for symbol in symbols:
            exchange = EXCHANGES.get(symbol.split(":")[0])
            by_market.setdefault(market_of(exchange), []).append(symbol)
        for market, named in sorted(by_market.items()):
            yield from self.network.fields(named, fields, kind=kind, market=market, progress=progress)

    def _without(self, table: str, symbols: Sequence[str]) -> list[str]:
        rows = self.session.connection.execute(
            f"""
            select symbol from (select unnest(?::varchar[]) as symbol)
            anti join (select distinct symbol from raw.{table}) using (symbol) order by symbol
            """,
            [list(symbols)],
        ).fetchall()
        return [row[0] for row in rows]

    def bars(self, *, is_last: bool = True) -> Result:
        """Fetch the bars of every symbol in scope that is not up to date; a repair that follows has the last word."""
        symbols = self.scope()
        earlier = self.earlier(symbols)
        return self._recorded(
            "bars",
            lambda result: self._bars(symbols, earlier, result, is_last=is_last),
            {"symbols": len(symbols), "earlier": len(earlier)},
        )

    def _bars(self, symbols: Sequence[str], earlier: Sequence[str], result: Result, *, is_last: bool) -> None:
        too = f", and {len(earlier):,} that were candidates before" if earlier else ""
        self.session.say(f"{len(symbols):,} symbols in scope{too}")
        synchroniser = self.synchroniser()
        every = [*symbols, *earlier]
        registry.register(self.session.connection, every, self.as_of)
        done = synchroniser.run("normal", synchroniser.plan(every, is_forced=self.is_forced))
        self._tell_pass(done)
        result.health = _those(symbols, synchroniser.settle(every))
        self._count(result, done.landed, lambda load: str(load.context.get("symbol")), is_told=False)
        self._judge_network(result, done.landed)
        self._judge_health(result)
        if not is_last and result.exit_code == HEALTH:
            result.exit_code = 0

    def repair(self) -> Result:
        """Heal what fails in an explicit scope: force, gaps, slow lane, alternate source, at most two cycles."""
        symbols = self.scope()
        earlier = self.earlier(symbols)
        return self._recorded(
            "repair",
            lambda result: self._repair(symbols, result, earlier=earlier, only_slow=False),
            {"symbols": len(symbols), "earlier": len(earlier)},
        )

    def recover(self) -> Result:
        """Take the failures of the last cycle through the slow lane and the alternate source."""
        if not self.symbols and self.acquisition is None:
            scope = self._failed_before()
        else:
            scope = sorted(set(self.scope()) & set(self._failed_before()))
        if not scope:
            result = Result("recover", notes=["the last cycle left no failure behind"])
            return result
        return self._recorded(
            "recover", lambda result: self._repair(scope, result, only_slow=True), {"symbols": len(scope)}
        )

    def _failed_before(self) -> list[str]:
        rows = self.session.connection.execute("""
            select symbol from ops.symbol_registry
            where status in ('STALE', 'DEGRADED', 'MISSING') or (consecutive_failures > 0 and status != 'DELISTED')
            order by symbol
        """).fetchall()
        return [row[0] for row in rows]

    def _repair(self, symbols: Sequence[str], result: Result, *, earlier: Sequence[str] = (), only_slow: bool) -> None:
        synchroniser = self.synchroniser()
        every = [*symbols, *earlier]
        registry.register(self.session.connection, every, self.as_of)
        healed = synchroniser.repair(every, only_slow=only_slow, is_explicit=bool(self.symbols) or self.is_forced)
        result.health = _those(symbols, healed)
        for one in synchroniser.passes:
            self._tell_pass(one)
            self._count(result, one.landed, lambda load: str(load.context.get("symbol")), is_told=False)
        self._judge_network(result, [pair for one in synchroniser.passes for pair in one.landed])
        self._judge_health(result)

    def features(self) -> Result:
        """Fetch the vendor's features of every symbol in scope, asking again for those that failed alone."""
        symbols = self.scope()
        if self.acquisition is None or not self.acquisition.feature_fields:
            raise UsageError("vendor features need a profile that names them", remedy="give --profile")
        return self._recorded("features", lambda result: self._features(symbols, result), {"symbols": len(symbols)})

    def _features(self, symbols: Sequence[str], result: Result) -> None:
        assert self.acquisition is not None
        wanted = list(symbols)
        attempts: list[dict[str, Any]] = []
        for number in range(1, FEATURE_ATTEMPTS + 1):
            if number > 1:
                self.sleep(FEATURE_WAIT * (number - 1))
            began = self.timer()
            with self.tell(f"features, attempt {number}", len(wanted)) as progress:
                landed = land_answers(
                    self.session,
                    self._fields(wanted, self.acquisition.feature_fields, "vendor_features", progress),
                    context=lambda _: {"is_forced": self.is_forced},
                )
            self._count(result, landed, lambda load: f"{len(load.request.get('tickers', ()))} symbols")
            covered = self._observed(landed)
            left = [symbol for symbol in wanted if symbol not in covered]
            attempts.append(
                {
                    "idx": number,
                    "fetched": len(wanted) - len(left),
                    "failed": len(left),
                    "duration_s": round(self.timer() - began, 3),
                }
            )
            wanted = left
            if not wanted:
                break
        covered_count = len(symbols) - len(wanted)
        self.session.record(
            "ops.feature_coverage",
            {
                "command_id": self.session.name_command("features"),
                "profile": self.profile,
                "observed_at_utc": _text(self.as_of),
                "symbol_count": len(symbols),
                "covered_count": covered_count,
                "coverage": covered_count / len(symbols),
                "attempts": canonical_json(attempts),
                "failed_symbols": canonical_json(wanted),
                "waiver": self.waiver if wanted else None,
            },
        )
        self._judge_network(result, result.loads)
        if wanted:
            shown = ", ".join(wanted[:5]) + (" ..." if len(wanted) > 5 else "")
            result.failed.append(f"{len(wanted)} of {len(symbols)} symbols have no features: {shown}")
        if not result.exit_code and (covered_count == 0 or (wanted and self.is_strict and self.waiver is None)):
            result.exit_code = HEALTH
        result.remedy = f"make feature-ingest PROFILE={self.profile}"

    def _observed(self, landed: Sequence[tuple[Load, Outcome]]) -> set[str]:
        """Return the symbols with a row in these loads, or in the equal answer that one of them repeats."""
        rows = self.session.connection.execute(
            """
            select distinct features.symbol
            from raw.loads as given
            join raw.loads as loads on loads.kind = given.kind and loads.request_hash = given.request_hash
                and loads.payload_sha256 = given.payload_sha256
            join raw.vendor_features as features on features.load_id = loads.load_id
            where list_contains(?::varchar[], given.load_id)
            """,
            [[load.load_id for load, _ in landed]],
        ).fetchall()
        return {row[0] for row in rows}

    def audit(self) -> Result:
        """Judge the health of every symbol in scope by what is stored; nobody is asked."""
        symbols = self.scope()

        def work(result: Result) -> None:
            result.health = registry.describe_health(self.session.connection, symbols, self.as_of)
            self._judge_health(result, is_gate=True)

        return self._recorded("audit", work, {"symbols": len(symbols)})

    def flow(self) -> list[Result]:
        """Run the whole data cycle: scan, metadata, bars, repair, features, registry, snapshot."""
        results: list[Result] = []
        steps: list[Callable[[], Result]] = [self.scan] if self.acquisition and self.acquisition.scanners else []
        steps += [self.metadata, lambda: self.bars(is_last=False), self.repair]
        if self.acquisition and self.acquisition.feature_fields:
            steps.append(self.features)
        for step in steps:
            results.append(step())
            if results[-1].command == "scan" and results[-1].exit_code == NETWORK:
                break
        take_snapshot(self.session.connection)
        return results

    # What they share.

    def _recorded(self, command: str, work: Callable[[Result], None], scope: Mapping[str, Any]) -> Result:
        """Run a command and write its row to `ops.commands`, and the journal."""
        result = Result(command)
        began, started = self.timer(), self.session.clock()
        work(result)
        asked = {"command": command, "profile": self.profile, "symbols": list(self.symbols), **scope}
        made = sorted((load.load_id, outcome.status, load.payload_sha256 or "") for load, outcome in result.loads)
        requests = sorted(load.request_hash for load, _ in result.loads)
        finished = max(started + timedelta(seconds=0), self.session.clock())
        self.session.record(
            "ops.commands",
            {
                "command_id": self.session.name_command(command),
                "command": command,
                "profile": self.profile,
                "scope": canonical_json(asked),
                "as_of_utc": _text(self.as_of),
                "inputs_hash": digest(canonical_json({"asked": asked, "requests": requests}).encode()),
                "outputs_hash": digest(canonical_json(made).encode()),
                "counts": canonical_json(dict(sorted(result.counts.items()))),
                "exit_code": result.exit_code,
                "duration_seconds": round(self.timer() - began, 3),
                "finished_at_utc": _text(finished),
            },
        )
        named = [row["symbol"] for row in result.health]
        self.session.keep_journal(named)
        self._tell(result)
        return result

    def _count(
        self,
        result: Result,
        landed: Sequence[tuple[Load, Outcome]],
        name: Callable[[Load], str],
        *,
        is_told: bool = True,
    ) -> None:
        result.loads += landed
        for load, outcome in landed:
            result.counts[outcome.status] += 1
            result.counts["rows_received"] += outcome.rows_received
            result.counts["rows_new"] += outcome.rows_new
            result.counts["rows_superseding"] += outcome.rows_superseding
            result.counts["rows_quarantined"] += outcome.rows_quarantined
            if is_told and outcome.status in FAILED_STATUSES:
                result.failed.append(f"{name(load)}: {outcome.status}: {outcome.error}")

    @staticmethod
    def _judge_network(result: Result, landed: Sequence[tuple[Load, Outcome]]) -> None:
        """Exit code 5 when nothing was answered at all."""
        if landed and all(outcome.status == "FAILED" for _, outcome in landed):
            first = landed[0][1].error or "no answer"
            result.exit_code = NETWORK
            result.failed.append(f"none of {len(landed)} requests was answered; the first: {first}")

    def _judge_health(self, result: Result, *, is_gate: bool = False) -> None:
        """Name the symbols that are not OK; strict ones and anchors stop the cycle."""
        verdicts = Counter(row["verdict"] for row in result.health)
        for verdict, count in verdicts.items():
            result.counts[f"verdict_{verdict}"] += count
        bad = [row for row in result.health if row["verdict"] != "OK"]
        anchors = set(self.acquisition.anchor_symbols) if self.acquisition else set()
        result.failed += [
            f"{row['symbol']}: {row['verdict']} ({row['reasons'] or row['registry_reason'] or 'no accepted bar'}), "
            f"last {row['last_session'] or 'none'}, expected {row['expected_session'] or 'unknown'}"
            for row in bad
        ]
        is_stopped = (self.is_strict and bad) or any(row["symbol"] in anchors for row in bad)
        if not result.health:
            is_stopped = True
            result.failed.append("no symbol was checked")
        if is_stopped and not result.exit_code:
            result.exit_code = HEALTH
        if bad:
            scope = (
                f"PROFILE={self.profile}" if self.profile else f"SYMBOL={','.join(row['symbol'] for row in bad[:3])}"
            )
            # a repair leaves TOXIC symbols alone unless somebody means them
            forced = " FORCE=1" if self.profile and verdicts["TOXIC"] else ""
            result.remedy = f"make data-repair {scope}{forced}"

    def _tell_pass(self, done: Pass) -> None:
        saved = sum(done.plan.skipped.values())
        asked = len(done.plan.items)
        share = saved / (saved + asked) if saved + asked else 0.0
        reasons = ", ".join(f"{name} {count}" for name, count in sorted(done.plan.skipped.items()) if count)
        self.session.say(
            f"pass {done.name}: {asked:,} requests, {saved:,} saved ({share:.0%}{': ' + reasons if reasons else ''})"
        )

    def _tell(self, result: Result) -> None:
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(result.counts.items()) if count)
        self.session.say(f"{result.command}: {shown or 'nothing to do'}")
        for note in result.notes:
            self.session.say(note)
        for line in result.failed[:20]:
            self.session.say(f"  {line}")
        if len(result.failed) > 20:
            self.session.say(f"  ... and {len(result.failed) - 20} more: select * from ops.symbol_registry")


def market_of(exchange: Exchange | None) -> str:
    """Return the market of the scanner's interface in which the symbols of an exchange are; global where unknown."""
    if exchange is None:
        return "global"
    if exchange.asset_class == "equity":
        return {"US": "america", "IN": "india"}.get(exchange.region, "global")
    return exchange.asset_class


METADATA_FIELDS = (
    "name", "description", "type", "subtype", "exchange", "currency", "base_currency", "pricescale", "minmov",
    "minmove2", "fractional", "sector", "industry", "country", "timezone", "session",
)  # fmt: skip


def _those(symbols: Sequence[str], health: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = set(symbols)
    return [row for row in health if row["symbol"] in wanted]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def planned(cycle: Cycle, command: str) -> list[str]:
    """Return what a command would ask for, line by line, without asking."""
    if command == "scan":
        scanners = cycle.acquisition.scanners if cycle.acquisition else ()
        return [f"{one.scanner_id}: up to {one.prefilter_limit} rows of {one.market}" for one in scanners]
    symbols = cycle.scope()
    synchroniser = Synchroniser(
        cycle.session, None, cycle.rules, as_of=cycle.as_of, can_have=cycle.can_have, tell=cycle.tell, timer=cycle.timer
    )
    if command == "bars":
        plan = synchroniser.plan([*symbols, *cycle.earlier(symbols)], is_forced=cycle.is_forced)
        lines = [
            f"{one.symbol}: {one.count} bars of {one.source} ({one.adjustment}, {one.reason})" for one in plan.items
        ]
        skipped = json.dumps(dict(plan.skipped), sort_keys=True)
        return [*lines, f"{len(plan.items)} requests, {sum(plan.skipped.values())} saved: {skipped}"]
    if command in ("repair", "recover"):
        failing = synchroniser.failing(symbols, is_toxic_too=bool(cycle.symbols))
        return [f"{row['symbol']}: {row['verdict']} ({row['reasons']})" for row in failing] or ["nothing fails"]
    return [f"{command} of {len(symbols)} symbols", *symbols[:20]]
