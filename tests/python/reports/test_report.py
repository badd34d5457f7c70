"""The page of the built sample, held against the tables it was made from."""

from __future__ import annotations

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

SECTIONS = {
    "run", "key-figures", "nav", "drawdown", "metrics", "weights", "windows", "health", "funnel", "solver",
    "ledger", "settings",
}  # fmt: skip


def headline_of(home: Home, run_id: str) -> tuple[str, str]:
    """Return engine and risk profile of the headline of a run."""
    found = dict(
        ask(
            home,
            "select key, value from selection.run_settings where run_id = ? and key like 'headline.%'",
            run_id,
        )
    )
    return found["headline.engine"].strip('"'), found["headline.risk_profile"].strip('"')


def headline_metric(home: Home, run_id: str, metric: str) -> float:
    engine, profile = headline_of(home, run_id)
    return float(
        ask(
            home,
            """
            select m.value from tournaments.cell_metrics as m
            join tournaments.cells as c on m.run_id = c.run_id and m.cell_id = c.cell_id
            where c.run_id = ? and c.engine = ? and c.risk_profile = ? and c.cost_model = 'std_6bp'
                and m.metric = ?
            """,
            run_id,
            engine,
            profile,
            metric,
        )[0][0]
    )


def count(home: Home, table: str, run_id: str, condition: str = "true") -> int:
    return int(ask(home, f"select count(*) from {table} where run_id = ? and {condition}", run_id)[0][0])


def test_the_page_has_every_section_with_a_status(page: Any) -> None:
    assert set(page.statuses) == SECTIONS
    assert set(page.statuses.values()) <= {"OK", "WARN"}


def test_a_static_universe_is_a_warning_and_is_explained(page: Any) -> None:
    assert page.statuses["run"] == "WARN"
    assert "Universe basis static:" in page.text
    assert "Read relative statements only" in page.text


def test_the_page_says_that_the_index_is_a_price_index(page: Any, sample_home: Home) -> None:
    note = ask(
        sample_home,
        "select value from selection.run_settings where run_id = ? and key = 'benchmark_note'",
        page.run_id,
    )[0][0]
    assert "price index" in note
    for identity in ("run", "key-figures"):
        assert note.strip('"') in page.section(identity)


def test_the_headline_is_named_and_said_not_to_affect_ranking(page: Any, sample_home: Home) -> None:
    engine, profile = headline_of(sample_home, page.run_id)
    assert re.search(rf"Headline {engine} · {profile} [^.]*\. Named by the profile; ranking is not affected", page.text)


def test_the_page_names_the_costs_its_figures_are_net_of(page: Any) -> None:
    assert "cost model std_6bp: 5 bp slippage and 1 bp commission per side, borrow 2.0% a year" in page.text


def test_nothing_on_the_page_points_to_the_network(page: Any) -> None:
    assert re.findall(r"""(?:src|href|url|import)\s*[=(]\s*["']?(?!#|data:)[^"'>\s)]+""", page.own) == []
    assert "http://" not in page.own
    assert "https://" not in page.own
    assert "default-src 'none'" in page.html


def test_the_page_names_no_folder_of_the_machine(page: Any, sample_home: Home) -> None:
    assert str(sample_home.state) not in page.own
    assert str(sample_home.root) not in page.own


def test_paths_are_those_of_the_warehouse_from_the_first_decision_on(page: Any, sample_home: Home) -> None:
    first = ask(
        sample_home,
        "select min(decision_date)::varchar from selection.windows where run_id = ?",
        page.run_id,
    )[0][0]
    traces = page.figures["nav"]["all"]["data"]
    assert len(traces) == count(sample_home, "tournaments.configs", page.run_id)
    for trace in traces:
        rows = ask(
            sample_home,
            """
            select p.session_date::varchar, p.nav from tournaments.portfolio_returns as p
            join tournaments.cells as c on p.run_id = c.run_id and p.cell_id = c.cell_id
            where c.run_id = ? and c.config_id = ? and c.cost_model = 'std_6bp' order by p.session_date
            """,
            page.run_id,
            trace["meta"]["config"],
        )
        assert (trace["x"][0], trace["y"][0]) == (first, 1.0)
        assert trace["x"][1:] == [row[0] for row in rows]
        assert trace["y"][1:] == [row[1] for row in rows]


def test_the_deepest_drawn_drawdown_is_the_published_metric(page: Any, sample_home: Home) -> None:
    published = dict(
        ask(
            sample_home,
            """
            select c.config_id, m.value from tournaments.cell_metrics as m
            join tournaments.cells as c on m.run_id = c.run_id and m.cell_id = c.cell_id
            where c.run_id = ? and m.metric = 'max_drawdown' and c.cost_model = 'std_6bp'
            """,
            page.run_id,
        )
    )
    drawn = {trace["meta"]["config"]: min(trace["y"]) for trace in page.figures["drawdown"]["all"]["data"]}
    assert drawn == {key: pytest.approx(value, abs=1e-12) for key, value in published.items()}


def test_every_book_on_the_page_stacks_to_one(page: Any, sample_home: Home) -> None:
    figures = page.figures["weights"]
    assert len(figures) == count(sample_home, "tournaments.configs", page.run_id)
    for figure in figures.values():
        books = list(zip(*(trace["y"] for trace in figure["data"]), strict=True))
        assert len(books) == 62
        assert all(sum(book) == pytest.approx(1.0, abs=1e-9) for book in books)


def test_the_first_book_on_the_page_is_that_of_the_headline(page: Any, sample_home: Home) -> None:
    engine, profile = headline_of(sample_home, page.run_id)
    config = ask(
        sample_home,
        "select config_id from tournaments.configs where run_id = ? and engine = ? and risk_profile = ?",
        page.run_id,
        engine,
        profile,
    )
    assert next(iter(page.figures["weights"])) == config[0][0]


def test_key_figures_are_the_metrics_of_the_headline_cell(page: Any, sample_home: Home) -> None:
    tiles = re.findall(r'<p class="label">([^<]+)</p><p class="figure" data-value="([^"]*)">', page.html)
    assert dict(tiles) == {
        label: repr(headline_metric(sample_home, page.run_id, metric))
        for label, metric in {
            "Total return": "total_return",
            "CAGR": "cagr",
            "Volatility": "annualized_vol",
            "Sharpe": "sharpe",
            "Max drawdown": "max_drawdown",
            "Turnover p.a.": "ann_turnover",
        }.items()
    }


def test_the_metrics_table_has_every_cell_and_every_metric(page: Any, sample_home: Home) -> None:
    section = page.section("metrics")
    cells, metrics = ask(
        sample_home,
        "select count(distinct cell_id), count(distinct metric) from tournaments.cell_metrics where run_id = ?",
        page.run_id,
    )[0]
    assert section.count("<tr>") == 1 + cells
    # configuration, costs and status stand beside the metrics
    assert section.count("<th ") == 3 + metrics


def test_every_undefined_metric_reads_n_a_with_a_reason(page: Any, sample_home: Home) -> None:
    cells = re.findall(r"<td([^>]*)>n/a</td>", page.section("metrics"))
    undefined = count(sample_home, "tournaments.cell_metrics", page.run_id, "value is null")
    assert len(cells) == undefined > 0
    assert all(re.search(r'title="(undefined|insufficient): [^"]{5,}"', cell) for cell in cells)


def test_the_windows_table_has_every_window(page: Any, sample_home: Home) -> None:
    assert page.section("windows").count("<tr>") == 1 + count(sample_home, "selection.windows", page.run_id)


def test_health_names_every_symbol_of_the_run_with_its_role(page: Any) -> None:
    section = page.section("health")
    assert section.count(">candidate</td>") == 20
    assert section.count(">benchmark</td>") == 1
    assert section.count(">landed only</td>") == 5


def test_the_ledger_section_shows_the_head_and_how_to_verify_it(page: Any, sample_home: Home) -> None:
    head = ask(sample_home, "select chain_head from selection.runs where run_id = ?", page.run_id)[0][0]
    section = page.section("ledger")
    assert head in section
    assert f"python -m quantmill ledger-verify {page.run_id}" in section


def test_every_section_shows_queries_that_answer(page: Any, sample_home: Home) -> None:
    for identity in SECTIONS:
        queries = page.queries(identity)
        assert queries, identity
        with duckdb.connect(str(sample_home.snapshot), read_only=True) as connection:
            for name, query in queries.items():
                assert "$" not in query, name
                connection.execute(query).fetchall()


def test_a_query_on_the_page_can_be_given_to_the_command_line_on_one_line(page: Any, sample_home: Home) -> None:
    query = " ".join(page.queries("nav")["paths"].split())
    assert '"' not in query
    answered = run(sample_home, "-m", "quantmill", "sql", query, "--format", "csv")
    assert answered.code == 0, answered.output
    drawn = sum(len(trace["x"]) for trace in page.figures["nav"]["all"]["data"])
    assert len(answered.output.strip().splitlines()) == 1 + drawn


def test_the_same_snapshot_gives_the_same_bytes(report_home: Home, page: Any) -> None:
    again = write_report(report_home, run_id=None, profile="sample", force=True)
    assert again.read_text(encoding="utf-8") == page.html


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
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]
    assert path.stat().st_mode & stat.S_IRUSR


def test_the_command_writes_the_page_and_prints_where_it_is(report_home: Home) -> None:
    written = run(report_home, "-m", "quantmill", "report")
    assert written.code == 0, written.output
    found = re.search(r"report: file://(\S+/index\.html)", written.output)
    assert found is not None
    assert Path(found[1]).is_file()


@pytest.mark.parametrize(
    ("table", "sections"),
    [
        ("tournaments.portfolio_returns", {"nav", "drawdown", "metrics"}),
        ("tournaments.cell_metrics", {"key-figures", "metrics"}),
        ("tournaments.target_weights", {"weights"}),
        ("tournaments.window_metrics", {"windows"}),
        ("features.symbol_health", {"health"}),
        ("raw.loads", {"health"}),
        ("tournaments.audit_ledger", {"ledger"}),
        ("selection.funnel", {"funnel", "windows"}),
        ("tournaments.constraint_rows", {"solver"}),
        ("selection.run_settings", SECTIONS - {"health", "funnel", "solver", "ledger"}),
    ],
)
def test_a_missing_table_fails_its_sections_and_the_others_stand(
    altered_home: Callable[..., Home], read_page: Callable[[Path], Any], table: str, sections: set[str]
) -> None:
    home = altered_home("drop schema staging cascade", f"drop table {table}")
    with pytest.raises(ReportIncomplete) as caught:
        write_report(home, run_id=None, profile="sample", force=False)
    if table == "selection.run_settings":
        sections = sections | {"health"}
    assert set(caught.value.facts["sections"]) == sections  # type: ignore[call-overload]
    path = next(home.reports.glob("*/index.html"))
    written = read_page(path)
    assert {name for name, status in written.statuses.items() if status == "FAIL"} == sections
    assert set(written.statuses) == SECTIONS
    for identity in sections:
        assert table.split(".")[1] in written.section(identity)


def test_a_table_without_rows_of_the_run_fails_its_section(
    altered_home: Callable[..., Home], read_page: Callable[[Path], Any]
) -> None:
    home = altered_home("delete from selection.funnel")
    with pytest.raises(ReportIncomplete, match="Selection funnel: query 'funnel' found no rows"):
        write_report(home, run_id=None, profile="sample", force=False)
    written = read_page(next(home.reports.glob("*/index.html")))
    assert written.statuses["funnel"] == "FAIL"


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
    assert "ReportIncomplete: 1 of 12 sections" in written.output


@pytest.mark.parametrize(
    ("change", "section", "status", "words"),
    [
        (
            "update tournaments.target_weights set net_weight = net_weight + 0.01 where window_index = 3",
            "weights",
            "FAIL",
            "the largest difference is 2.0e-01",
        ),
        (
            "update tournaments.portfolio_returns set net_return = net_return + 0.001 where window_index = 3",
            "nav",
            "FAIL",
            "the largest difference is 2.",
        ),
        (
            "update tournaments.cell_metrics set value = value + 0.001 where metric = 'max_drawdown'",
            "metrics",
            "FAIL",
            "the largest difference is 1.0e-03",
        ),
        (
            "update tournaments.audit_ledger set previous_hash = repeat('1', 64) where sequence = 5",
            "ledger",
            "FAIL",
            "broken links: 1",
        ),
        (
            "delete from tournaments.audit_ledger where sequence = 5",
            "ledger",
            "FAIL",
            "broken links: 1; numbers out of place: 65",
        ),
        (
            "update features.symbol_health set verdict = 'STALE', reasons = 'STALE:9'"
            " where symbol = 'NYSE:KO' and as_of_date = '2022-12-28'",
            "health",
            "WARN",
            "STALE at the as-of date: NYSE:KO.",
        ),
        (
            "delete from features.symbol_health where symbol = 'NYSE:KO'",
            "health",
            "WARN",
            "MISSING at the as-of date: NYSE:KO.",
        ),
        (
            "update features.session_bars set is_late_revision = true"
            " where symbol = 'NYSE:KO' and session_date >= '2022-12-20'",
            "health",
            "WARN",
            ": 6 of 39,286 accepted bars of the run's span.",
        ),
        (
            "insert into features.bar_spikes values ('NYSE:KO', '2022-03-01', 'EXTREME', 1.5, null, false)",
            "health",
            "WARN",
            "Spikes in that span: 1 open, 0 resolved.",
        ),
        (
            "update raw.loads set status = 'FAILED' where kind = 'symbol_metadata'",
            "health",
            "WARN",
            "symbol_metadata FAILED.",
        ),
        (
            "update selection.funnel set is_scarce = true, winner_count = 0 where window_index = 7",
            "funnel",
            "WARN",
            "without a winner, which stay in cash: 1.",
        ),
        (
            "update tournaments.window_allocations set status = 'fallback_equal_weight',"
            " fallback_reason = 'kappa 9e9 above 5000' where window_index = 7",
            "solver",
            "WARN",
            "fallback_equal_weight in 1 of 62 windows, example kappa 9e9 above 5000: custom · ",
        ),
        (
            "update tournaments.window_allocations set status = 'fallback_equal_weight',"
            " fallback_reason = 'kappa 9e9 above 5000' where window_index = 7",
            "windows",
            "WARN",
            "window 7 is fallback_equal_weight: kappa 9e9 above 5000.",
        ),
        (
            "update tournaments.constraint_rows set is_relaxed = true where window_index < 2",
            "solver",
            "WARN",
            "Caps relaxed: 16.",
        ),
        (
            "update tournaments.cells set status = 'liquidated', reason = 'worth fell to zero'",
            "nav",
            "WARN",
            "ended liquidated, worth fell to zero: custom · ",
        ),
    ],
)
def test_statuses_are_computed_from_the_tables(
    altered_home: Callable[..., Home],
    read_page: Callable[[Path], Any],
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
    written = read_page(next(home.reports.glob("*/index.html")))
    assert written.statuses[section] == status
    assert words in re.sub(r"&#39;", "'", written.section(section))


def test_a_headline_that_was_not_run_is_said_and_the_rest_stands(
    altered_home: Callable[..., Home], read_page: Callable[[Path], Any]
) -> None:
    home = altered_home("update selection.run_settings set value = '\"barbell\"' where key = 'headline.risk_profile'")
    with pytest.raises(ReportIncomplete, match="barbell is not among the configurations"):
        write_report(home, run_id=None, profile="sample", force=False)
    written = read_page(next(home.reports.glob("*/index.html")))
    assert written.statuses["nav"] == "OK"
    assert written.statuses["key-figures"] == "FAIL"


def test_names_and_notes_are_text_and_never_markup(
    altered_home: Callable[..., Home], read_page: Callable[[Path], Any]
) -> None:
    home = altered_home(
        "update selection.run_settings set value = '\"<script>alert(1)</script>\"' where key = 'description'",
        "update tournaments.target_weights set symbol = 'X:</script><b>' where symbol = 'NYSE:KO'",
    )
    written = read_page(write_report(home, run_id=None, profile="sample", force=False))
    assert "<script>alert" not in written.html
    assert "</script><b>" not in written.html
    assert any(
        trace["name"] == "X:</script><b>" for figure in written.figures["weights"].values() for trace in figure["data"]
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
