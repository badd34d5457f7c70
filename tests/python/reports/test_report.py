"""The pages of the built sample, held against the tables they were made from."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from quantmill.errors import UsageError, WarehouseError
from quantmill.manifest.home import Home
from quantmill.reports.build import ReportIncomplete, write_report
from support import ask, run

TEARSHEET = (
    "all-metrics", "equity", "months", "falls", "rolling", "returns", "weights", "holdings", "charges", "windows",
)  # fmt: skip
SECTIONS = {
    f"{file}#{identity}"
    for file, identities in {
        "index.html": (
            "run", "key-figures", "nav", "top", "guards", "warnings", "artifacts", "ledger", "settings",
        ),
        "comparison.html": ("metrics", "sharpe-map", "risk-return", "costs", "dates"),
        "scoreboard.html": ("scoreboard", "gates"),
        "risk.html": ("risk-matrix", "bands", "drawdown", "caps", "solver"),
        "tearsheet_headline.html": TEARSHEET,
        "tearsheet_best.html": TEARSHEET,
        "selection.html": ("scans", "funnel", "vetoes", "battles", "overlap", "regimes", "selection-warnings"),
        "quality.html": ("rules", "failures", "health", "coverage", "gaps"),
    }.items()
    for identity in identities
}  # fmt: skip
FILES = {name.split("#")[0] for name in SECTIONS}
# They gather what the other sections found, so they fail where any of those does.
GATHERING = {"index.html#guards", "index.html#warnings"}


def settings_of(home: Home, run_id: str) -> dict[str, Any]:
    """Return the settings of a run."""
    rows = ask(home, "select key, value from selection.run_settings where run_id = ?", run_id)
    return {key: json.loads(value) for key, value in rows}


def headline_of(home: Home, run_id: str) -> tuple[str, str]:
    """Return engine and risk profile of the headline of a run."""
    settings = settings_of(home, run_id)
    return settings["headline.engine"], settings["headline.risk_profile"]


def headline_cell(home: Home, run_id: str) -> tuple[str, str]:
    """Return cell_id and config_id of the headline under the first cost model."""
    settings = settings_of(home, run_id)
    return ask(  # type: ignore[return-value]
        home,
        """
        select cell_id, config_id from tournaments.cells
        where run_id = ? and engine = ? and risk_profile = ? and cost_model = ? and variant = 'shared'
            and selection_engine = ? and rebalance_mode = ? and window_set = ?
        """,
        run_id,
        *headline_of(home, run_id),
        settings["matrix.cost_models"][0],
        settings.get("headline.selection_engine", settings["matrix.selection_engines"][0]),
        settings["matrix.rebalance_modes"][0],
        settings["matrix.window_sets"][0],
    )[0]


def headline_metric(home: Home, run_id: str, metric: str) -> float:
    """Return a metric of the headline cell."""
    cell_id, _ = headline_cell(home, run_id)
    query = "select value from tournaments.cell_metrics where run_id = ? and cell_id = ? and metric = ?"
    return float(ask(home, query, run_id, cell_id, metric)[0][0])


def best_cell(home: Home, run_id: str) -> tuple[str, float]:
    """Return config_id and Sharpe of the best cell that is no baseline under the first cost model."""
    return ask(  # type: ignore[return-value]
        home,
        """
        select c.config_id, m.value from tournaments.cell_metrics as m
        join tournaments.cells as c on m.run_id = c.run_id and m.cell_id = c.cell_id
        join tournaments.configs as g on c.run_id = g.run_id and c.config_id = g.config_id
        where c.run_id = ? and c.cost_model = ? and m.metric = 'sharpe' and not c.is_baseline and c.status = 'ok'
            and g.status not in ('delegated', 'failed')
        order by m.value desc nulls last limit 1
        """,
        run_id,
        settings_of(home, run_id)["matrix.cost_models"][0],
    )[0]


def count(home: Home, table: str, run_id: str, condition: str = "true") -> int:
    return int(ask(home, f"select count(*) from {table} where run_id = ? and {condition}", run_id)[0][0])


def test_the_pages_have_every_section_with_a_status(report: Any) -> None:
    assert set(report.statuses) == SECTIONS
    assert set(report.statuses.values()) <= {"OK", "WARN", "N/A"}


def test_a_static_universe_is_a_warning_and_is_explained(report: Any) -> None:
    assert report.statuses["index.html#run"] == "WARN"
    assert "Universe basis static:" in report["index.html"].text
    for page in report.pages.values():
        assert "Read relative statements only" in page.text, page.file


def test_every_page_says_that_the_index_is_a_price_index(report: Any, sample_home: Home) -> None:
    note = settings_of(sample_home, report.run_id)["benchmark_note"]
    assert "price index" in note
    for page in report.pages.values():
        assert note in page.text, page.file


def test_the_headline_is_named_and_said_not_to_affect_ranking(report: Any, sample_home: Home) -> None:
    engine, profile = headline_of(sample_home, report.run_id)
    assert re.search(
        rf"Headline {engine} · {profile} .*?\. Named by the profile; ranking is not affected", report["index.html"].text
    )


def test_the_pages_name_the_costs_their_figures_are_net_of(report: Any) -> None:
    words = "cost model std_6bp: 5 bp slippage and 1 bp commission per side, borrow 2.0% a year"
    for file in ("index.html", "comparison.html", "risk.html", "tearsheet_headline.html", "tearsheet_best.html"):
        assert words in report[file].text, file


def test_nothing_on_the_pages_points_to_the_network(report: Any) -> None:
    for page in report.pages.values():
        own = r"#|data:|(?:\.\./\.\./)?[A-Za-z0-9_./-]+\.(?:html|js|jsonl|duckdb)(?:#[a-z-]+)?[\"']"
        assert re.findall(rf"""(?:src|href|url|import)\s*[=(]\s*["']?(?!{own})[^"'>\s)]+""", page.html) == [], page.file
        assert "http://" not in page.html
        assert "https://" not in page.html
        assert "default-src 'none'" in page.html


def test_every_link_leads_to_a_page_and_a_section_that_are_there(report: Any) -> None:
    links = {(page.file, found) for page in report.pages.values() for found in re.findall(r'href="([^"]+)"', page.html)}
    assert len(links) > 100
    for source, link in links:
        if link == "data:," or link.startswith("../"):
            continue
        file, _, identity = link.partition("#")
        target = report[file or source]
        assert not identity or f'<section id="{identity}"' in target.html, (source, link)


def test_every_page_leads_to_every_page(report: Any) -> None:
    for page in report.pages.values():
        navigation = re.search(r'<nav class="pages".*?</nav>', page.html, flags=re.DOTALL)
        assert navigation is not None
        assert set(re.findall(r'href="([^"]+)"', navigation[0])) == FILES
        assert re.findall(r'href="([^"]+)"[^>]*aria-current="page"', navigation[0]) == [page.file]


def test_the_pages_name_no_folder_of_the_machine(report: Any, sample_home: Home) -> None:
    for page in report.pages.values():
        assert str(sample_home.state) not in page.html
        assert str(sample_home.root) not in page.html


@pytest.mark.parametrize(
    ("file", "chart"),
    [("index.html", "nav"), ("tearsheet_headline.html", "equity"), ("tearsheet_best.html", "equity")],
)
def test_paths_are_those_of_the_warehouse_from_the_first_decision_on(
    report: Any, sample_home: Home, file: str, chart: str
) -> None:
    first = ask(
        sample_home,
        "select min(decision_date)::varchar from selection.windows where run_id = ?",
        report.run_id,
    )[0][0]
    traces = report[file].figures[chart]["all"]["data"]
    assert len(traces) >= 4
    for trace in traces:
        rows = ask(
            sample_home,
            """
            select p.session_date::varchar, p.nav from tournaments.portfolio_returns as p
            join tournaments.cells as c on p.run_id = c.run_id and p.cell_id = c.cell_id
            where c.run_id = ? and c.config_id = ? and c.cost_model = 'std_6bp' order by p.session_date
            """,
            report.run_id,
            trace["meta"]["config"],
        )
        assert (trace["x"][0], trace["y"][0]) == (first, 1.0)
        assert trace["x"][1:] == [row[0] for row in rows]
        assert trace["y"][1:] == [row[1] for row in rows]


def test_the_headline_and_the_best_are_drawn_on_the_first_page(report: Any, sample_home: Home) -> None:
    drawn = [trace["meta"]["config"] for trace in report["index.html"].figures["nav"]["all"]["data"]]
    assert drawn[-1] == headline_cell(sample_home, report.run_id)[1]
    assert best_cell(sample_home, report.run_id)[0] in drawn


def test_the_best_tearsheet_is_of_the_highest_net_sharpe_and_says_when_it_was_picked(
    report: Any, sample_home: Home
) -> None:
    page = report["tearsheet_best.html"]
    row = re.search(r"<tr><td[^>]*>Sharpe</td><td[^>]*data-value=\"([^\"]+)\"", page.section("all-metrics"))
    assert row is not None
    assert float(row[1]) == best_cell(sample_home, report.run_id)[1]
    assert "Picked after the fact" in page.section("all-metrics")
    is_headline = best_cell(sample_home, report.run_id)[0] == headline_cell(sample_home, report.run_id)[1]
    assert ("is the headline itself" in page.section("all-metrics")) == is_headline


def test_what_the_symbols_added_less_costs_is_the_published_return(report: Any, sample_home: Home) -> None:
    for file in ("tearsheet_headline.html", "tearsheet_best.html"):
        rows = ask(sample_home, report[file].queries("holdings")["contributions"])
        shown = re.search(
            r"<tr><td[^>]*>Total return</td><td[^>]*data-value=\"([^\"]+)\"", report[file].section("all-metrics")
        )
        assert shown is not None
        assert sum(row[2] for row in rows) == pytest.approx(float(shown[1]), abs=1e-9)


def test_the_last_year_of_the_rolling_beta_is_the_published_recent_beta(report: Any, sample_home: Home) -> None:
    rows = ask(sample_home, report["tearsheet_headline.html"].queries("rolling")["rolling"])
    assert rows[-1][3] == pytest.approx(headline_metric(sample_home, report.run_id, "beta_recent"), abs=1e-9)


def test_the_deepest_drawn_drawdown_is_the_published_metric(report: Any, sample_home: Home) -> None:
    published = dict(
        ask(
            sample_home,
            """
            select c.config_id, m.value from tournaments.cell_metrics as m
            join tournaments.cells as c on m.run_id = c.run_id and m.cell_id = c.cell_id
            where c.run_id = ? and m.metric = 'max_drawdown' and c.cost_model = 'std_6bp'
            """,
            report.run_id,
        )
    )
    drawn = {
        trace["meta"]["config"]: min(trace["y"]) for trace in report["risk.html"].figures["drawdown"]["all"]["data"]
    }
    assert len(drawn) >= 4
    assert drawn == {key: pytest.approx(published[key], abs=1e-12) for key in drawn}


@pytest.mark.parametrize("file", ["tearsheet_headline.html", "tearsheet_best.html"])
def test_every_book_of_a_tearsheet_stacks_to_one(report: Any, file: str) -> None:
    (figure,) = report[file].figures["weights"].values()
    books = list(zip(*(trace["y"] for trace in figure["data"]), strict=True))
    assert len(books) == 62
    assert all(sum(book) == pytest.approx(1.0, abs=1e-9) for book in books)


def test_key_figures_are_the_metrics_of_the_headline_cell(report: Any, sample_home: Home) -> None:
    tiles = re.findall(
        r'<p class="label">([^<]+)</p><p class="figure" data-value="([^"]*)">', report["index.html"].html
    )
    assert dict(tiles) == {
        label: repr(headline_metric(sample_home, report.run_id, metric))
        for label, metric in {
            "Total return": "total_return",
            "CAGR": "cagr",
            "Volatility": "annualized_vol",
            "Sharpe": "sharpe",
            "Max drawdown": "max_drawdown",
            "Turnover p.a.": "ann_turnover",
        }.items()
    }


def test_the_window_that_made_most_of_the_growth_is_told_with_its_book(report: Any, sample_home: Home) -> None:
    cell_id, config_id = headline_cell(sample_home, report.run_id)
    index, made = ask(
        sample_home,
        """
        select window_index, value from tournaments.window_metrics
        where run_id = ? and cell_id = ? and metric = 'period_return' order by value desc limit 1
        """,
        report.run_id,
        cell_id,
    )[0]
    book = ask(
        sample_home,
        """
        select symbol from tournaments.target_weights
        where run_id = ? and config_id = ? and window_index = ? and net_weight <> 0 order by symbol
        """,
        report.run_id,
        config_id,
        index,
    )
    total = headline_metric(sample_home, report.run_id, "total_return")
    told = report["index.html"].section("key-figures")
    assert f"made {made:.1%} with {len(book)} names ({', '.join(row[0] for row in book)})" in told
    assert f"The total return of {total:.1%} is {(1 + total) / (1 + made) - 1:.1%} without it." in told


def test_the_metrics_table_has_every_cell_and_every_metric(report: Any, sample_home: Home) -> None:
    section = report.section("comparison.html#metrics")
    cells, metrics = ask(
        sample_home,
        "select count(distinct cell_id), count(distinct metric) from tournaments.cell_metrics where run_id = ?",
        report.run_id,
    )[0]
    assert section.count("<tr>") == 1 + cells
    # configuration, costs and status stand beside the metrics
    assert section.count("<th ") == 3 + metrics


def test_every_undefined_metric_reads_n_a_with_a_reason(report: Any, sample_home: Home) -> None:
    cells = re.findall(r"<td([^>]*)>n/a</td>", report.section("comparison.html#metrics"))
    undefined = count(sample_home, "tournaments.cell_metrics", report.run_id, "value is null")
    assert len(cells) == undefined > 0
    assert all(re.search(r'title="(undefined|insufficient): [^"]{5,}"', cell) for cell in cells)


def test_the_windows_table_has_every_window(report: Any, sample_home: Home) -> None:
    assert report.section("tearsheet_headline.html#windows").count("<tr>") == 1 + count(
        sample_home, "selection.windows", report.run_id
    )


def test_health_names_every_symbol_of_the_run_with_its_role(report: Any) -> None:
    section = report.section("quality.html#health")
    assert section.count(">candidate</td>") == 20
    assert section.count(">benchmark</td>") == 1
    assert section.count(">landed only</td>") == 5


def test_the_ledger_section_shows_the_head_and_how_to_verify_it(report: Any, sample_home: Home) -> None:
    head = ask(sample_home, "select chain_head from selection.runs where run_id = ?", report.run_id)[0][0]
    section = report.section("index.html#ledger")
    assert head in section
    assert f"python -m quantmill ledger-verify {report.run_id}" in section


def test_every_section_shows_queries_that_answer(report: Any, sample_home: Home) -> None:
    for identity in SECTIONS:
        queries = report.queries(identity)
        assert queries or report.statuses[identity] == "N/A", identity
        with duckdb.connect(str(sample_home.snapshot), read_only=True) as connection:
            for name, query in queries.items():
                assert "$" not in query, name
                connection.execute(query).fetchall()


def test_a_query_on_the_page_can_be_given_to_the_command_line_on_one_line(report: Any, sample_home: Home) -> None:
    query = " ".join(report.queries("index.html#nav")["paths"].split())
    assert '"' not in query
    answered = run(sample_home, "-m", "quantmill", "sql", query, "--format", "csv")
    assert answered.code == 0, answered.output
    sessions, cells = ask(
        sample_home,
        """
        select count(*), count(distinct c.cell_id) from tournaments.portfolio_returns as p
        join tournaments.cells as c on p.run_id = c.run_id and p.cell_id = c.cell_id
        where c.run_id = ? and c.cost_model = 'std_6bp'
        """,
        report.run_id,
    )[0]
    # each path has its start before its sessions, and the first line names the columns
    assert len(answered.output.strip().splitlines()) == 1 + sessions + cells


def test_the_same_snapshot_gives_the_same_bytes(report_home: Home, report: Any) -> None:
    again = write_report(report_home, run_id=None, profile="sample", force=True)
    for file, page in report.pages.items():
        assert again.with_name(file).read_text(encoding="utf-8") == page.html, file


def test_a_second_call_leaves_the_page_alone_and_says_so(report_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_report(report_home, run_id=None, profile="sample", force=False)
    before = path.stat()
    printed = capsys.readouterr().out
    assert path.as_uri() in printed
    assert "Sharpe" in printed
    assert write_report(report_home, run_id=None, profile="sample", force=False) == path
    assert "UP_TO_DATE: " in capsys.readouterr().out
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_force_writes_the_page_again(report_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_report(report_home, run_id=None, profile="sample", force=False)
    before = path.stat().st_ino
    write_report(report_home, run_id=None, profile="sample", force=True)
    assert path.stat().st_ino != before
    assert "UP_TO_DATE" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change",
    [
        "update selection.runs set chain_head = repeat('0', 64)",
        "insert into raw.loads select * replace ('99991231T000000000000Z-00000000' as load_id) from raw.loads limit 1",
    ],
)
def test_another_ledger_head_or_a_newer_load_makes_a_new_page(
    altered_home: Callable[..., Home], capsys: pytest.CaptureFixture[str], change: str
) -> None:
    home = altered_home()
    path = write_report(home, run_id=None, profile="sample", force=False)
    before = path.stat().st_ino
    with duckdb.connect(str(home.snapshot)) as connection:
        connection.execute(change)
    capsys.readouterr()
    try:
        write_report(home, run_id=None, profile="sample", force=False)
    except ReportIncomplete:
        assert "chain_head" in change
    assert "UP_TO_DATE" not in capsys.readouterr().out
    assert path.stat().st_ino != before


def test_the_page_can_be_read_by_others_and_leaves_nothing_beside_it(report_home: Home) -> None:
    path = write_report(report_home, run_id=None, profile="sample", force=False)
    assert path == report_home.reports / path.parent.name / "index.html"
    assert {entry.name for entry in path.parent.iterdir()} == FILES | {"plotly.min.js"}
    assert path.stat().st_mode & stat.S_IRUSR


def test_the_command_writes_the_page_and_prints_where_it_is(report_home: Home) -> None:
    written = run(report_home, "-m", "quantmill", "report")
    assert written.code == 0, written.output
    found = re.search(r"report: file://(\S+/index\.html)", written.output)
    assert found is not None
    assert Path(found[1]).is_file()


def on_both(*identities: str) -> set[str]:
    """Return sections of both tearsheets."""
    return {f"tearsheet_{name}.html#{identity}" for name in ("headline", "best") for identity in identities}


@pytest.mark.parametrize(
    ("table", "sections"),
    [
        (
            "tournaments.portfolio_returns",
            {"index.html#nav", "comparison.html#metrics", "comparison.html#dates", "risk.html#drawdown"}
            | on_both("equity", "months", "falls", "rolling", "returns", "holdings", "charges"),
        ),
        ("tournaments.target_weights", {"index.html#key-figures"} | on_both("weights", "holdings", "windows")),
        ("tournaments.window_metrics", {"index.html#key-figures"} | on_both("windows")),
        ("features.symbol_health", {"quality.html#health"}),
        ("features.session_bars", {"quality.html#health", "quality.html#coverage"}),
        ("raw.loads", {"quality.html#health"}),
        ("tournaments.audit_ledger", {"index.html#ledger"}),
        ("selection.funnel", {"selection.html#funnel", "selection.html#overlap"} | on_both("windows")),
        ("tournaments.constraint_rows", {"risk.html#caps", "risk.html#solver"}),
    ],
)
def test_a_missing_table_fails_its_sections_and_the_others_stand(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any], table: str, sections: set[str]
) -> None:
    home = altered_home("drop schema staging cascade", f"drop table {table}")
    with pytest.raises(ReportIncomplete) as caught:
        write_report(home, run_id=None, profile="sample", force=False)
    assert set(caught.value.facts["sections"]) - GATHERING == sections  # type: ignore[call-overload]
    written = read_report(next(home.reports.glob("*/index.html")))
    assert {name for name, status in written.statuses.items() if status == "FAIL"} - GATHERING == sections
    assert set(written.statuses) == SECTIONS
    for name in sections | {"index.html#warnings"}:
        assert table.split(".")[1] in written.section(name)


@pytest.mark.parametrize("table", ["tournaments.cell_metrics", "selection.run_settings"])
def test_without_metrics_or_settings_every_page_is_still_written(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any], table: str
) -> None:
    home = altered_home("drop schema staging cascade", f"drop table {table}")
    with pytest.raises(ReportIncomplete):
        write_report(home, run_id=None, profile="sample", force=False)
    written = read_report(next(home.reports.glob("*/index.html")))
    assert set(written.statuses) == SECTIONS
    assert written.statuses["index.html#ledger"] == "OK"
    assert written.statuses["index.html#key-figures"] == "FAIL"
    assert table.split(".")[1] in written.section("index.html#key-figures")


@pytest.mark.parametrize(
    ("table", "section"),
    [
        ("tournaments.scoreboard", "scoreboard.html#scoreboard"),
        ("tournaments.veto_matrix", "scoreboard.html#gates"),
        ("selection.vetoes", "selection.html#vetoes"),
        ("selection.alpha_scores", "selection.html#battles"),
        ("selection.selection_warnings", "selection.html#selection-warnings"),
        ("features.market_regimes", "selection.html#regimes"),
        ("features.quality_results", "quality.html#rules"),
    ],
)
def test_a_snapshot_that_is_older_than_a_table_says_so_and_its_report_stands(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any], table: str, section: str
) -> None:
    home = altered_home("drop schema staging cascade", f"drop table if exists {table} cascade")
    written = read_report(write_report(home, run_id=None, profile="sample", force=False))
    assert f"the snapshot has no table {table}" in written.section(section).replace("The snapshot", "the snapshot")
    assert table in written.section("index.html#artifacts")
    assert "FAIL" not in written.statuses.values()


def test_a_table_without_rows_of_the_run_fails_its_section(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any]
) -> None:
    home = altered_home("delete from selection.funnel")
    with pytest.raises(ReportIncomplete, match="Selection funnel: query 'funnel' found no rows"):
        write_report(home, run_id=None, profile="sample", force=False)
    written = read_report(next(home.reports.glob("*/index.html")))
    assert written.statuses["selection.html#funnel"] == "FAIL"


def test_an_incomplete_page_is_never_up_to_date(
    altered_home: Callable[..., Home], capsys: pytest.CaptureFixture[str]
) -> None:
    home = altered_home("delete from selection.funnel")
    for _ in range(2):
        with pytest.raises(ReportIncomplete):
            write_report(home, run_id=None, profile="sample", force=False)
    assert "UP_TO_DATE" not in capsys.readouterr().out


def test_the_command_fails_where_a_section_fails(altered_home: Callable[..., Home]) -> None:
    written = run(altered_home("delete from selection.funnel"), "-m", "quantmill", "report")
    assert written.code == 1
    assert f"ReportIncomplete: 4 of {len(SECTIONS)} sections" in written.output
    # what the gathering sections repeat is left out, and a reason stands there once
    assert "What is guarded" not in written.output
    assert written.output.count("query 'funnel' found no rows") == 1
    assert len(written.output.splitlines()[-1]) < 600


@pytest.mark.parametrize(
    ("change", "section", "status", "words"),
    [
        (
            "update tournaments.target_weights set gross_weight = gross_weight + 0.01 where window_index = 3",
            "tearsheet_headline.html#weights",
            "FAIL",
            "the largest difference is 2.0e-01",
        ),
        (
            "update tournaments.portfolio_returns set net_return = net_return + 0.001 where window_index = 3",
            "index.html#nav",
            "FAIL",
            "the largest difference is 2.",
        ),
        (
            "update tournaments.cell_metrics set value = value + 0.001 where metric = 'max_drawdown'",
            "comparison.html#metrics",
            "FAIL",
            "the largest difference is 1.0e-03",
        ),
        (
            "update tournaments.audit_ledger set previous_hash = repeat('1', 64) where sequence = 5",
            "index.html#ledger",
            "FAIL",
            "broken links: 1",
        ),
        (
            "delete from tournaments.audit_ledger where sequence = 5",
            "index.html#ledger",
            "FAIL",
            "broken links: 1; numbers out of place: ",
        ),
        (
            "update features.symbol_health set verdict = 'STALE', reasons = 'STALE:9'"
            " where symbol = 'NYSE:KO' and as_of_date = '2022-12-28'",
            "quality.html#health",
            "WARN",
            "STALE at the as-of date: NYSE:KO.",
        ),
        (
            "delete from features.symbol_health where symbol = 'NYSE:KO'",
            "quality.html#health",
            "WARN",
            "MISSING at the as-of date: NYSE:KO.",
        ),
        (
            "delete from features.symbol_health where symbol = 'NYSE:KO';"
            " update features.bar_verdicts set verdict = 'UNKNOWN_SYMBOL' where symbol = 'NYSE:KO'",
            "quality.html#health",
            "WARN",
            "bars have landed, but no description and no scan says what it is, so they belong to no session",
        ),
        (
            "update features.session_bars set is_late_revision = true"
            " where symbol = 'NYSE:KO' and session_date >= '2022-12-20'",
            "quality.html#health",
            "WARN",
            ": 6 of 39,286 accepted bars of the run's span.",
        ),
        (
            "insert into features.bar_spikes values ('NYSE:KO', '2022-03-01', 'EXTREME', 1.5, null, false, null)",
            "quality.html#health",
            "WARN",
            "Spikes in that span: 1 open, 0 resolved.",
        ),
        (
            # New York had not closed by then: nobody can have a bar of that day
            "update selection.run_settings set value = '\"2022-12-28T20:00:00Z\"' where key = 'as_of'",
            "quality.html#coverage",
            "OK",
            "Bars: 39,260 of 39,260 that the calendar expects of 26 symbols",
        ),
        (
            # the same bytes again are no failure
            "update raw.loads set status = 'DUPLICATE' where kind = 'symbol_metadata'",
            "quality.html#health",
            "OK",
            "Late revisions",
        ),
        (
            "update raw.loads set status = 'FAILED' where kind = 'symbol_metadata'",
            "quality.html#health",
            "WARN",
            "symbol_metadata FAILED.",
        ),
        (
            # what the book earned is on the run's calendar and in its currency, not in those of each symbol
            "update features.daily_returns set simple_return = 2 * simple_return",
            "tearsheet_headline.html#holdings",
            "OK",
            "What the symbols added, less costs, is the total return; ",
        ),
        (
            "update tournaments.atom_returns set synthetic_return = 2 * synthetic_return where symbol = 'NYSE:KO'",
            "tearsheet_headline.html#holdings",
            "WARN",
            "What the symbols added, less costs, is the total return; ",
        ),
        (
            "update selection.funnel set is_scarce = true, winner_count = 0 where window_index = 7",
            "selection.html#funnel",
            "WARN",
            "without a winner, which stay in cash: 1.",
        ),
        (
            "update selection.funnel set is_scarce = window_index in (6, 7), winner_count = window_index % 2"
            " where selection_engine = 'v3.2'",
            "selection.html#funnel",
            "WARN",
            "Windows that are scarce or without winners: 32.",
        ),
        (
            "update tournaments.window_allocations set status = 'fallback_equal_weight',"
            " fallback_reason = 'kappa 9e9 above 5000' where window_index = 7",
            "risk.html#solver",
            "WARN",
            "fallback_equal_weight in 1 of 62 windows, example kappa 9e9 above 5000: custom · ",
        ),
        (
            "update tournaments.window_allocations set status = 'fallback_equal_weight',"
            " fallback_reason = 'kappa 9e9 above 5000' where window_index = 7",
            "tearsheet_headline.html#windows",
            "WARN",
            "window 7 is fallback_equal_weight: kappa 9e9 above 5000.",
        ),
        (
            "update tournaments.constraint_rows set is_relaxed = true where window_index < 2",
            "risk.html#solver",
            "WARN",
            "Caps relaxed: ",
        ),
        (
            "update tournaments.window_metrics set value = 0.0001 where metric = 'period_return' and value > 0.0001",
            "index.html#key-figures",
            "OK",
            "The best of 62 windows, ",
        ),
        (
            "update tournaments.veto_matrix set is_passed = false, value = 1.5, limit_value = 1.25,"
            " is_informational = false where gate = 'turnover'",
            "scoreboard.html#gates",
            "WARN",
            "The headline fails turnover: 1.5 where the limit is 1.25.",
        ),
        (
            # one position turned short: its proceeds are cash of the book, and gross cash stays
            "update tournaments.window_allocations as books set net_cash = net_cash + 2 * weights.net_weight"
            " from tournaments.target_weights as weights where books.run_id = weights.run_id"
            " and books.window_set = weights.window_set and books.window_index = weights.window_index"
            " and books.config_id = weights.config_id and weights.symbol = 'NYSE:KO';"
            "update tournaments.target_weights set net_weight = -net_weight where symbol = 'NYSE:KO'",
            "tearsheet_headline.html#weights",
            "OK",
            "Weights, long and short alike, and cash add up to one in ",
        ),
        (
            "update tournaments.veto_matrix set is_passed = false, value = null, status = 'undefined',"
            " reason = 'the Sharpe ratio before costs is -0.1', is_informational = false where gate = 'friction_decay'",
            "scoreboard.html#gates",
            "WARN",
            "The headline fails friction_decay: undefined, the Sharpe ratio before costs is -0.1.",
        ),
        (
            "insert into selection.run_settings by name select run_id, 'anchors' as key,"
            " '[\"max_sharpe\"]' as value, 'profile' as source_layer from selection.runs",
            "index.html#top",
            "OK",
            "custom · max_sharpe · v3.2 · window (anchor)",
        ),
        (
            "delete from tournaments.allocation_events where code = 'CONVERGED_PAIR'",
            "comparison.html#metrics",
            "OK",
            "78 cells",
        ),
        (
            "update tournaments.cells set status = 'liquidated', reason = 'worth fell to zero'"
            " where risk_profile = 'equal_weight'",
            "index.html#nav",
            "WARN",
            "ended liquidated, worth fell to zero: custom · ",
        ),
    ],
)
def test_statuses_are_computed_from_the_tables(
    altered_home: Callable[..., Home],
    read_report: Callable[[Path], Any],
    change: str,
    section: str,
    status: str,
    words: str,
) -> None:
    home = altered_home(change)
    try:
        write_report(home, run_id=None, profile="sample", force=False)
    except ReportIncomplete:
        assert status == "FAIL"
    written = read_report(next(home.reports.glob("*/index.html")))
    assert written.statuses[section] == status
    assert words in re.sub(r"&#39;", "'", written.section(section))


def test_a_headline_that_was_not_run_is_said_and_the_rest_stands(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any]
) -> None:
    home = altered_home("update selection.run_settings set value = '\"barbell\"' where key = 'headline.risk_profile'")
    with pytest.raises(ReportIncomplete, match="barbell is not among the configurations"):
        write_report(home, run_id=None, profile="sample", force=False)
    written = read_report(next(home.reports.glob("*/index.html")))
    assert written.statuses["index.html#nav"] == "OK"
    assert written.statuses["index.html#key-figures"] == "FAIL"


def test_names_and_notes_are_text_and_never_markup(
    altered_home: Callable[..., Home], read_report: Callable[[Path], Any]
) -> None:
    home = altered_home(
        "update selection.run_settings set value = '\"<script>alert(1)</script>\"' where key = 'description'",
        "update tournaments.target_weights set symbol = 'X:</script><b>' where symbol = 'NYSE:KO'",
    )
    written = read_report(write_report(home, run_id=None, profile="sample", force=False))
    for page in written.pages.values():
        assert "<script>alert" not in page.html
        assert "</script><b>" not in page.html
    assert any(
        trace["name"] == "X:</script><b>"
        for figure in written["tearsheet_headline.html"].figures["weights"].values()
        for trace in figure["data"]
    )


def test_an_unknown_run_is_named_with_those_that_are_there(report_home: Home) -> None:
    with pytest.raises(UsageError, match=r"run 'nothing' is not in the published snapshot; it has sample-20221228-"):
        write_report(report_home, run_id="nothing", profile="sample", force=False)


def test_without_a_snapshot_the_reader_is_told_to_build(new_home: Home) -> None:
    with pytest.raises(WarehouseError, match="nothing has been published yet"):
        write_report(new_home, run_id=None, profile="sample", force=False)


def test_a_snapshot_without_runs_is_an_error_of_the_warehouse(altered_home: Callable[..., Home]) -> None:
    home = altered_home("drop table selection.runs")
    with pytest.raises(WarehouseError, match="cannot name its runs"):
        write_report(home, run_id=None, profile="sample", force=False)
