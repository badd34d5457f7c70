"""The command line of the alpha cycle. A command is a few lines; its work stands in the module it calls."""

from __future__ import annotations

import sys
from datetime import datetime
from functools import partial
from typing import Any

import click

from quantmill.errors import QuantmillError, UsageError
from quantmill.manifest.home import current_home

LISTS = (
    "profiles",
    "universes",
    "scanners",
    "blocks",
    "window-sets",
    "runs",
    "symbols",
    "engines",
    "risk-profiles",
    "simulators",
    "cells",
    "gates",
    "tables",
)


class _Group(click.Group):
    """A group whose commands end with one line and an exit code where quantmill raised on purpose."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except QuantmillError as error:
            click.echo(f"{type(error).__name__}: {error}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("interrupted: what was finished is kept, and the next build goes on from there", err=True)
            sys.exit(130)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Build, read and question portfolio research runs.

    Data is landed by 'python -m ingest'; plain dbt works too: dbt build --vars '{profile: sample}'.
    """


def _overrides(pairs: tuple[str, ...]) -> dict[str, Any]:
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise UsageError(
                f"--set got '{pair}'; KEY=VALUE was needed",
                remedy="for example --set allocation.cluster_cap=0.2",
            )
        found[key] = yaml.safe_load(value)
    return found


@main.command()
@click.option("--profile", default="sample", show_default=True, help="profile under manifest/profiles")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="override a setting; may be repeated")
@click.option("--label", default="", help="free name for the run")
def build(profile: str, pairs: tuple[str, ...], label: str) -> None:
    """Build a profile with dbt, seal its run and publish the snapshot.

    Does nothing, and says so, when data, settings and code are those of a sealed, published run.

    Example: python -m quantmill build --profile sample --set allocation.cluster_cap=0.2
    """
    from quantmill.building import build as build_profile

    build_profile(current_home(), profile, overrides=_overrides(pairs), label=label)


@main.command()
@click.option("--profile", default="sample", show_default=True, help="report on the newest sealed run of this profile")
@click.option("--run", "run_id", default=None, help="report on this run instead")
@click.option("--force", is_flag=True, help="write the report again even if it is there")
def report(profile: str, run_id: str | None, force: bool) -> None:
    """Write the pages of a run from the published snapshot and print where they are."""
    from quantmill.reports.build import write_report

    write_report(current_home(), run_id=run_id, profile=profile, force=force)


@main.command()
@click.option("--profile", default="sample", show_default=True, help="judge what this profile reads")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="override a setting; may be repeated")
@click.option("--last", is_flag=True, help="judge nothing; print the newest published judgement")
def quality(profile: str, pairs: tuple[str, ...], last: bool) -> None:
    """Judge the data of a profile by the rules of manifest/quality and print every rule.

    The workbench is only read; Data Docs are written to quality/. Rules and rows that were judged before are not judged
    again. Ends with 4 where the gate stops the profile.

    Example: python -m quantmill quality --profile sample --set quality.gate=raw_pool
    """
    from quantmill.quality.command import run_quality, show_last

    if last:
        show_last(current_home(), profile)
    else:
        run_quality(current_home(), profile, overrides=_overrides(pairs))


@main.command("ledger-verify")
@click.argument("run_id", required=False)
@click.option("--profile", default="sample", show_default=True, help="without a run: the newest one of this profile")
def ledger_verify(run_id: str | None, profile: str) -> None:
    """Verify a run's ledger: its chain, its tables, and its file against the warehouse.

    Exit codes: 0 ok, 1 nothing to verify, 2 a hash differs, 3 a link or number is broken, 4 no genesis or no seal,
    5 an intent without outcome, 6 a table differs from the seal, 7 the file differs from the warehouse.
    """
    from quantmill.auditing import verify_run

    try:
        code = verify_run(current_home(), run_id=run_id, profile=profile)
    except QuantmillError as error:
        # the codes from 2 on say what was found in a ledger, so they cannot say that there was none to look at
        click.echo(f"{type(error).__name__}: {error}", err=True)
        code = 1
    sys.exit(code)


@main.command("ledger-export")
@click.argument("run_id")
def ledger_export(run_id: str) -> None:
    """Write runs/RUN_ID/audit.jsonl again, byte for byte, from the published snapshot."""
    from quantmill.auditing import export_ledger

    click.echo(str(export_ledger(current_home(), run_id)))


@main.command("calibrate-regime")
@click.option("--asset-class", required=True, help="whose market: equity, etf, index, crypto, forex, futures")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), default="9999-12-31", help="last session that may be read")
@click.option("--points", type=click.IntRange(1, 10_000), default=100, show_default=True, help="weightings to try")
@click.option("--seed", type=int, default=0, show_default=True, help="of the quasi-random points")
def calibrate_regime_command(asset_class: str, until: datetime, points: int, seed: int) -> None:
    """Study how the sub-scores of a regime should be weighed, and propose weights. Nothing is changed.

    Judged is how well the score foretells the volatility of the next 20 sessions, out of sample, walking forward;
    never what a strategy earned. The study and the proposal are written to reports/calibrate-regime.

    Example: python -m quantmill calibrate-regime --asset-class equity --until 2021-12-31
    """
    from quantmill.calibrating import calibrate_regime
    from quantmill.features.calibration import CalibrationRules

    rules = CalibrationRules(points=points, seed=seed)
    calibrate_regime(current_home(), asset_class, until=until.date(), rules=rules, say=click.echo)


@main.command("show-settings")
@click.argument("profile", default="sample")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="override a setting; may be repeated")
@click.option("--json", "as_json", is_flag=True, help="print JSON instead of a table")
def show_settings(profile: str, pairs: tuple[str, ...], as_json: bool) -> None:
    """Show what a profile resolves to, and the layer that each key came from."""
    import json
    import os

    from quantmill.manifest.compose import resolve

    resolved = resolve(current_home().manifest, profile, overrides=_overrides(pairs), environment=os.environ)
    if as_json:
        click.echo(json.dumps({row.key: [json.loads(row.value), row.source_layer] for row in resolved.rows}, indent=1))
        return
    for row in resolved.rows:
        click.echo(f"{row.key:<45} {row.source_layer:<13} {row.value}")


@main.command("show-scanner")
@click.argument("scanner_id")
@click.option(
    "--json", "as_json", is_flag=True, help="print the resolved scanner as JSON, as it is stored beside scans"
)
def show_scanner(scanner_id: str, as_json: bool) -> None:
    """Show what a scanner resolves to, and the layer and block that each value came from.

    Example: python -m quantmill show-scanner etf_thematic_momentum
    """
    import json

    from quantmill.listing import scanner_lines
    from quantmill.manifest.composition import load_library, resolve_scanner

    manifest = current_home().manifest
    resolved = resolve_scanner(load_library(manifest), scanner_id)
    if as_json:
        click.echo(json.dumps(json.loads(resolved.scanner.canonical), indent=1, ensure_ascii=False))
        return
    for line in scanner_lines(manifest, resolved):
        click.echo(line)


@main.command("list")
@click.argument("what", type=click.Choice(LISTS))
@click.option("--profile", default="sample", show_default=True, help="whose cells or gates")
def list_things(what: str, profile: str) -> None:
    """List what there is: profiles, universes, scanners, blocks, window sets, runs, symbols, engines, simulators,
    tables; the cells of a profile with what is excluded, and the gates with its limits."""
    from quantmill.listing import lines

    for line in lines(current_home(), what, profile):
        click.echo(line)


# a query may begin with a comment, which click would take for an option
@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("query", required=False)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option(
    "--workbench", is_flag=True, help="ask the workbench: what has landed, built or not; nobody may be writing"
)
def sql(query: str | None, form: str, workbench: bool) -> None:
    """Answer a SQL query from the published snapshot, read-only. Without QUERY it reads standard input.

    Example: python -m quantmill sql "select run_id, status from selection.runs"

    Functions that SQL lacks: permutation_entropy, hurst_exponent and haar_energy of a list of returns in order of time,
    as in hurst_exponent(list(simple_return order by session_date)); normal_cdf of a number.
    """
    from quantmill.listing import answer

    text = query if query is not None else sys.stdin.read()
    if not text.strip():
        raise UsageError("there is no query", remedy='for example: make sql Q="select * from selection.runs"')
    say = partial(click.echo, err=True) if workbench else None
    click.echo(answer(current_home(), text, form, workbench_say=say))


@main.command()
def schema() -> None:
    """Write manifest/schema.json, the JSON Schema that editors check profiles with."""
    import json

    from quantmill.manifest.compose import json_schema

    path = current_home().manifest / "schema.json"
    path.write_text(json.dumps(json_schema(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    click.echo(str(path))


@main.command()
def fields() -> None:
    """Write docs/fields.md, the dictionary of every field that scans, features and metadata ask TradingView for."""
    from quantmill.manifest.field_page import field_page

    home = current_home()
    path = home.root / "docs" / "fields.md"
    path.write_text(field_page(home.manifest), encoding="utf-8")
    click.echo(str(path))
