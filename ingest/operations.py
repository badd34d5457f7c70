"""The data commands: scan, metadata, bars, features, repair, recover, audit, and flow, which is all of them.

Each returns a `Result`: counts by status, what failed with the remedy, and its exit code, which is also written to
`ops.commands`. Nothing is raised for a symbol that fails; a command that could not begin raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from quantmill.errors import UsageError

from ingest import registry
from ingest.aliases import heed_aliases
from ingest.answers import Answer
from ingest.exchanges import EXCHANGES, Exchange
from ingest.landing import Load, canonical_json, digest
from ingest.listings import is_prefix_loose, judge_listings, known_listings, listed
from ingest.loads import Session, land_answers, land_words
from ingest.scope import check_symbols, earlier_symbols, passing_symbols, scope_symbols
from ingest.stopping import Stop
from ingest.storing import Outcome, symbols_without_metadata, take_snapshot
from ingest.sync import FAILED_STATUSES, CanHave, Pass, Progress, Rules, Synchroniser, Teller

if TYPE_CHECKING:
    from quantmill.manifest.acquisition import Acquisition
    from quantmill.manifest.aliases import Alias
    from quantmill.manifest.scanners import Scanner

    from ingest.fixtures import Fixtures, Recorder
    from ingest.network import Network

    Sources = Network | Fixtures | Recorder

FEATURE_ATTEMPTS = 3
FEATURE_WAIT = 3.0
METADATA_SHARE = 0.95
DATA, HEALTH, NETWORK = 3, 4, 5


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
    asked_count: int = 0
    saved_count: int = 0
    loads: list[tuple[Load, Outcome]] = field(default_factory=list)


@dataclass
class Cycle:
    """One data command at work.

    `as_of` is the moment it runs for (aware), `make_network` opens the sources as of a moment, `profile` is what the
    manifest says, None for symbols named one by one with `rules`; `aliases` are the renamed symbols of the manifest.
    """

    session: Session
    as_of: datetime
    make_network: Callable[[datetime], Sources]
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
    aliases: Sequence[Alias] = ()
    stop: Stop = field(default_factory=Stop)
    # A replay of scans goes on where one that was interrupted ended.
    is_replay: bool = False
    _networks: dict[datetime, Sources] = field(default_factory=dict)
    # Lines about failures that were said already: the steps of a cycle meet the same ones again.
    _told: set[str] = field(default_factory=set)

    @property
    def network(self) -> Sources:
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
            symbols = check_symbols(self.symbols)
        elif self.acquisition is None:
            raise UsageError("nothing says which symbols are meant", remedy="give --profile or --symbol")
        else:
            symbols = scope_symbols(self.session.connection, self.acquisition)
        return listed(symbols, known_listings(self.session.connection))

    def followed(self) -> list[str]:
        """Return the scope and whoever was a candidate within the look-back: what is fetched and healed."""
        symbols = self.scope()
        return [*symbols, *self.earlier(symbols)]

    def earlier(self, current: Sequence[str]) -> list[str]:
        """Return the symbols that were candidates within the look-back and are not `current`; none for named symbols.

        They are fetched and healed like the others, but today's data are judged without them.
        """
        if self.symbols or self.acquisition is None:
            return []
        return earlier_symbols(self.session.connection, self.acquisition, self.as_of, current)

    def synchroniser(self, *, is_offline: bool = False) -> Synchroniser:
        """Return what plans and runs the passes of this command; `is_offline` leaves it to planning."""
        return Synchroniser(
            self.session,
            None if is_offline else self.network,
            self.rules,
            as_of=self.as_of,
            can_have=self.can_have,
            tell=self.tell,
            timer=self.timer,
            stop=self.stop,
        )

    # The commands.

    def scan(self) -> Result:
        """Ask every active scanner of the profile."""
        left = self.scanners_left()
        if not left:
            return Result("scan", notes=["scanned already"])
        return self._recorded("scan", lambda result: self._scan(left, result), {"scanners": len(left)})

    def scanners_left(self) -> list[Scanner]:
        """Return the scanners to ask: all active ones; in a replay those without a whole answer as of this very moment.

        Raises `UsageError` where the command has none.
        """
        if self.acquisition is None:
            raise UsageError("a scan needs a profile", remedy="give --profile")
        scanners = [one for one in self.acquisition.scanners if one.status != "disabled"]
        if not scanners:
            raise UsageError(
                f"the profile {self.profile} has no scanner to ask",
                remedy="'python -m quantmill list profiles' shows who has",
            )
        if not self.is_replay or self.is_forced:
            return scanners
        found = self.session.connection.execute(
            """
            select distinct config_hash from raw.loads
            where kind = 'scan' and status in ('OK', 'OK_EMPTY', 'UP_TO_DATE', 'DUPLICATE') and finished_at_utc = ?
            """,
            [self.as_of.astimezone(UTC).replace(tzinfo=None)],
        ).fetchall()
        done = {row[0] for row in found}
        return [one for one in scanners if one.config_hash not in done]

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
        if not result.exit_code and landed and statuses["OK_EMPTY"] == len(landed) and self.is_strict:
            result.exit_code = DATA
            result.failed.append("every scanner of the profile came back empty")
        # Whose scan failed has no candidates today, though others have theirs.
        if not result.exit_code and statuses["FAILED"] and self.is_strict:
            result.exit_code = NETWORK
        if not result.exit_code and (statuses["REJECTED"] or (statuses["PARTIAL"] and self.is_strict)):
            result.exit_code = DATA
        result.remedy = f"make scan-run PROFILE={self.profile}"

    def welcome(self) -> Result | None:
        """Describe whom the newest scans let pass and nobody has described yet; None where there is nobody.

        A replay needs it: by the end of it they may have left the market, and no source would know them.
        """
        assert self.acquisition is not None
        found = self.undescribed(passing_symbols(self.session.connection, self.acquisition.scanners))
        if not found:
            return None
        return self._recorded("metadata", lambda result: self._metadata(found, result), {"symbols": len(found)})

    def metadata(self) -> Result:
        """Fetch the structural description of every symbol in scope, and the trading limits of its venue."""
        symbols = self.scope()
        earlier = self.undescribed(self.earlier(symbols))
        return self._recorded(
            "metadata",
            lambda result: self._metadata(symbols, result, earlier=earlier),
            {"symbols": len(symbols), "earlier": len(earlier)},
        )

    def _metadata(self, symbols: Sequence[str], result: Result, *, earlier: Sequence[str] = ()) -> None:
        """Enrich, once more where less than 95 % of the active symbols are covered then, and say what is missing.

        Those that were candidates before and nobody has described yet are described as far as they are known.
        """
        fields = self.acquisition.metadata_fields if self.acquisition else METADATA_FIELDS
        context = {"is_forced": self.is_forced}
        wanted = [*symbols, *earlier]
        active, uncovered = list(symbols), list(symbols)
        for attempt in (1, 2):
            if self.stop.is_set():
                break
            if wanted:
                with self.tell(f"metadata, attempt {attempt}", len(wanted)) as progress:
                    landed = land_answers(
                        self.session,
                        self._fields(wanted, fields, "symbol_metadata", progress),
                        context=lambda _: context,
                    )
                self._count(result, landed, lambda load: f"{len(load.request.get('tickers', ()))} symbols")
            if any(symbol.startswith("BINANCE:") for symbol in uncovered):
                with self.tell("limits", 2) as progress:
                    limits = land_answers(
                        self.session, self.network.limits(progress=progress), context=lambda _: context
                    )
                self._count(result, limits, lambda load: f"limits of {load.request.get('market')}")
            wanted = self.undescribed(symbols)
            active, uncovered = self._coverage(symbols)
            if not wanted and len(uncovered) <= (1 - METADATA_SHARE) * len(active):
                break
        self._judge_network(result, result.loads)
        wanted = self._look_up(wanted, fields, result)
        if wanted:
            shown = ", ".join(wanted[:5]) + (" ..." if len(wanted) > 5 else "")
            result.failed.append(f"{len(wanted)} of {len(symbols)} symbols have no metadata: {shown}")
        if len(uncovered) > (1 - METADATA_SHARE) * len(active):
            shown = ", ".join(uncovered[:5]) + (" ..." if len(uncovered) > 5 else "")
            result.failed.append(
                f"tick, lot and precision of {len(uncovered)} of {len(active)} active symbols are defaults: {shown}"
            )
            if self.is_strict and not result.exit_code:
                result.exit_code = HEALTH
        result.remedy = f"make meta-ingest PROFILE={self.profile}" if self.profile else "python -m ingest metadata"

    def _look_up(self, symbols: Sequence[str], fields: Sequence[str], result: Result) -> list[str]:
        """Look up one by one whom the market did not answer for under the prefix that was written.

        Lands where they really list, and their description; returns those that stay unknown.
        """
        loose = [symbol for symbol in symbols if is_prefix_loose(symbol)]
        if not loose or self.stop.is_set() or result.exit_code == NETWORK:
            return list(symbols)
        with self.tell("listings", len(loose)) as progress:
            answers = self.network.symbol_fields(loose, fields, progress=progress)
            landed = land_answers(self.session, answers)
        self._count(result, landed, lambda load: str(load.request["symbol"]), is_told=False)
        words = judge_listings(self.session.connection, [load.load_id for load, _ in landed])
        if words:
            land_words(self.session, "symbol_aliases", source="tradingview", origin="symbol lookup", rows=words)
        found = {row["symbol"]: row["new_symbol"] for row in words}
        for symbol, new in sorted(found.items()):
            result.notes.append(f'{symbol} is listed as {new}: add "{symbol}": "{new}" to manifest/listings.yml')
        undescribed = self.undescribed(sorted(found.values()))
        if undescribed and not self.stop.is_set():
            with self.tell("metadata of listings", len(undescribed)) as progress:
                more = land_answers(self.session, self._fields(undescribed, fields, "symbol_metadata", progress))
            self._count(result, more, lambda load: f"{len(load.request.get('tickers', ()))} symbols")
        return [symbol for symbol in symbols if symbol not in found]

    def _coverage(self, symbols: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the active symbols, and those of them whose tick, lot size and precision nobody has stated.

        A listed share or fund is covered by its description: it trades in single units. The model
        `metadata_coverage` applies the same rule to the candidates of the newest scans.
        """
        listed = [name for name, one in EXCHANGES.items() if one.asset_class == "equity"]
        found = self.session.connection.execute(
            """
            with named as (
                select unnest($symbols::varchar[]) as symbol
            ),
            limits as (
                select symbol, arg_max(payload, (received_at_utc, load_id, row_number)) as payload
                from raw.execution_limits semi join named using (symbol) group by symbol
            ),
            described as (
                select symbol, bool_or(try_cast(payload ->> 'pricescale' as double) > 0
                    or try_cast(payload ->> 'tick_size' as double) > 0) as has_tick
                from raw.symbol_metadata semi join named using (symbol) group by symbol
            )
            select named.symbol, coalesce(
                list_has_all(json_extract_string(limits.payload, '$.filters[*].filterType'),
                    ['PRICE_FILTER', 'LOT_SIZE']), false)
                or (list_contains($listed::varchar[], split_part(named.symbol, ':', 1)) and coalesce(has_tick, false))
            from named left join limits using (symbol) left join described using (symbol)
            where coalesce(limits.payload ->> 'status', limits.payload ->> 'contractStatus', 'TRADING') = 'TRADING'
            order by named.symbol
            """,
            {"symbols": list(symbols), "listed": listed},
        ).fetchall()
        return [symbol for symbol, _ in found], [symbol for symbol, is_covered in found if not is_covered]

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

    def undescribed(self, symbols: Sequence[str]) -> list[str]:
        """Return those of `symbols` that no landed metadata describes, in order."""
        return symbols_without_metadata(self.session.connection, sorted(set(symbols)))

    def _unnamed(self, symbols: Sequence[str]) -> list[str]:
        """Return those of `symbols` of which no scan has said what they are; the models describe the others by it."""
        rows = self.session.connection.execute(
            """
            select symbol from (select unnest(?::varchar[]) as symbol)
            anti join (select symbol from raw.scan_rows where nullif(payload ->> 'type', '') is not null) using (symbol)
            order by symbol
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
        self._heed_aliases(result)
        done = synchroniser.run("normal", synchroniser.plan(every, is_forced=self.is_forced))
        self._tell_pass(done, result)
        self._heed_aliases(result)
        result.health = synchroniser.settle(every)
        self._count(result, done.landed, lambda load: str(load.context.get("symbol")), is_told=False)
        self._judge_network(result, done.landed)
        self._judge_health(result)
        if undescribed := self._unnamed(self.undescribed(every)):
            shown = ", ".join(undescribed[:5]) + (" ..." if len(undescribed) > 5 else "")
            result.notes.append(
                f"no description and no scan says what {len(undescribed)} symbols are, so their bars belong to no "
                f"session: {shown}; "
                + (f"make meta-ingest PROFILE={self.profile}" if self.profile else "python -m ingest metadata")
            )
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
        scope = self.recoverable()
        if not scope:
            result = Result("recover", notes=["the last cycle left no failure behind"])
            self._tell(result)
            return result
        return self._recorded(
            "recover", lambda result: self._repair(scope, result, only_slow=True), {"symbols": len(scope)}
        )

    def recoverable(self) -> list[str]:
        """Return the symbols that the last cycle left behind, of the scope where there is one."""
        if not self.symbols and self.acquisition is None:
            return self._failed_before()
        return sorted(set(self.followed()) & set(self._failed_before()))

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
        result.health = healed
        self._heed_aliases(result)
        for one in synchroniser.passes:
            self._tell_pass(one, result)
            self._count(result, one.landed, lambda load: str(load.context.get("symbol")), is_told=False)
        self._judge_network(result, [pair for one in synchroniser.passes for pair in one.landed])
        self._judge_health(result)

    def features(self) -> Result:
        """Fetch the vendor's features of every symbol in scope, asking again for those that failed alone."""
        symbols = self.scope()
        self.feature_fields()
        return self._recorded("features", lambda result: self._features(symbols, result), {"symbols": len(symbols)})

    def feature_fields(self) -> tuple[str, ...]:
        """Return the fields of the vendor that the profile names. Raises `UsageError` where there are none."""
        if self.acquisition is None or not self.acquisition.feature_fields:
            raise UsageError("vendor features need a profile that names them", remedy="give --profile")
        return self.acquisition.feature_fields

    def _features(self, symbols: Sequence[str], result: Result) -> None:
        fields = self.feature_fields()
        wanted = list(symbols)
        attempts: list[dict[str, Any]] = []
        for number in range(1, FEATURE_ATTEMPTS + 1):
            if number > 1:
                self.sleep(FEATURE_WAIT * (number - 1))
            began = self.timer()
            with self.tell(f"features, attempt {number}", len(wanted)) as progress:
                landed = land_answers(
                    self.session,
                    self._fields(wanted, fields, "vendor_features", progress),
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
            # a source that is not asked any more in this command answers no later attempt either
            is_refused = all((outcome.error or "").startswith("CIRCUIT_OPEN") for _, outcome in landed)
            if not wanted or is_refused or self.stop.is_set():
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
            result.health = self.synchroniser().health(symbols)
            result.notes += _label_lines(result.health)
            self._judge_health(result, is_gate=True)
            self._list_for_review(result)

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
            if self.stop.is_set():
                break
            if results[-1].command == "scan" and all(one.status == "FAILED" for _, one in results[-1].loads):
                break
        take_snapshot(self.session.connection)
        return results

    # What they share.

    def _heed_aliases(self, result: Result) -> None:
        """Judge renamed symbols by what is stored now: before bars are compared with others', and after they came."""
        for row in heed_aliases(self.session, self.aliases, as_of=self.as_of)[0]:
            said = f"{row['symbol']} to {row['new_symbol']}: {row['verdict']}, {row['code']} ({row['detail']})"
            result.notes.append(said)

    def _recorded(self, command: str, work: Callable[[Result], None], scope: Mapping[str, Any]) -> Result:
        """Run a command and write its row to `ops.commands`, and the journal."""
        result = Result(command)
        began, started = self.timer(), self.session.clock()
        work(result)
        if self.stop.is_set():
            self._end(result)
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

    def _end(self, result: Result) -> None:
        """Say of a command that was interrupted what is landed; what it did not come to is no failure."""
        result.exit_code = self.stop.exit_code
        result.failed.clear()
        result.counts["interrupted"] = 1
        result.notes = [
            f"interrupted: {len(result.loads):,} answers that had arrived are landed; the next run asks for the rest"
        ]

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
        """Name the symbols that are not OK; strict ones and anchors stop the cycle.

        An earlier candidate is none of today's: it may be gone for good, so it is named and stops nothing.
        """
        verdicts = Counter(row["verdict"] for row in result.health)
        for verdict, count in verdicts.items():
            result.counts[f"verdict_{verdict}"] += count
        everybody = [row for row in result.health if row["verdict"] != "OK"]
        # A recovery may be about symbols of another profile, or of none.
        scope = {row["symbol"] for row in everybody} if self.acquisition is None else set(self.scope())
        bad = [row for row in everybody if row["symbol"] in scope]
        earlier = [
            f"{row['symbol']} {row['verdict']}"
            for row in everybody
            if row["symbol"] not in scope and row["registry_status"] != "DELISTED"
        ]
        if earlier:
            shown = ", ".join(earlier[:5]) + (" ..." if len(earlier) > 5 else "")
            result.notes.append(f"{len(earlier)} candidates of earlier scans are not OK: {shown}")
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
            named = (
                f"PROFILE={self.profile}" if self.profile else f"SYMBOL={','.join(row['symbol'] for row in bad[:3])}"
            )
            # a profile with a request clock takes its own moment unless told, and TOXIC is left alone unless named
            if self.acquisition and self.acquisition.clock == "request" and self.as_of != self.acquisition.as_of:
                named += f" AS_OF={self.as_of.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            if self.profile and any(row["verdict"] == "TOXIC" for row in bad):
                named += " FORCE=1"
            result.remedy = f"make data-repair {named}"

    @staticmethod
    def _list_for_review(result: Result) -> None:
        """Name the symbols that no source knew on two days: somebody has to look, and nobody is asked until then."""
        named = [row["symbol"] for row in result.health if (row["registry_reason"] or "").startswith(registry.REVIEW)]
        if named:
            result.counts["for_review"] = len(named)
            result.notes.append(
                f"for review, known to no source on two days: {', '.join(named)}; correct or remove them where they "
                "are named, add an alias where one was renamed, or ask once more with repair --symbol"
            )

    def _tell_pass(self, done: Pass, result: Result) -> None:
        saved = done.plan.saved_count
        asked = len(done.plan.items)
        result.asked_count += asked
        result.saved_count += saved
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
        new = [line for line in dict.fromkeys(result.failed) if line not in self._told]
        self._told.update(new)
        for line in new[:20]:
            self.session.say(f"  {line}")
        if len(new) > 20:
            self.session.say(f"  ... and {len(new) - 20} more: select * from ops.symbol_registry")
        if len(new) < len(result.failed):
            self.session.say(f"  {len(result.failed) - len(new):,} more as said above")


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


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


def _label_lines(health: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of how many symbols have each label, and between which sessions their last ones lie."""
    lines = []
    for label, count in sorted(Counter(row["label"] for row in health).items()):
        last = sorted(row["last_session"] for row in health if row["label"] == label and row["last_session"])
        reach = f"last sessions {last[0]} to {last[-1]}" if last else "no session"
        lines.append(f"  {label:<18} {count:>7,} symbols, {reach}")
    return lines
