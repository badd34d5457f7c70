"""The pages in a real browser without a network: what is drawn, what can be clicked, what fits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from quantmill.manifest.home import Home
from support import ask

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOCAL = ("file:", "data:", "blob:")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium of the machine; nothing is downloaded."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        # as root, in containers, there is no sandbox to be had
        started = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, report: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a page of the report; at the end nothing may have gone wrong or gone out."""
    opened: list[tuple[Any, list[str], list[str]]] = []

    def open_at(file: str = "index.html", width: int = 1200, scheme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            offline=True,
            color_scheme=scheme,
            timezone_id="Asia/Tokyo",
        )
        tab = context.new_page()
        errors: list[str] = []
        requests: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on(
            "console",
            lambda message: errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(report[file].path.as_uri())
        tab.wait_for_selector("html[data-charts=drawn]", state="attached")
        opened.append((tab, errors, requests))
        return tab

    yield open_at
    for tab, errors, requests in opened:
        assert errors == []
        assert [url for url in requests if not url.startswith(LOCAL)] == []
        tab.context.close()


def column(tab: Any, table: str, label: str) -> list[str]:
    """Return the values of a column of a table, top to bottom, as the page sorts them."""
    return list(
        tab.evaluate(
            """([table, label]) => {
                const found = document.getElementById(table);
                const heads = [...found.tHead.rows[0].cells];
                const place = heads.findIndex((head) => head.textContent === label);
                return [...found.tBodies[0].rows].map((row) => row.cells[place].dataset.value);
            }""",
            [table, label],
        )
    )


PAGES = (
    "index.html", "comparison.html", "scoreboard.html", "risk.html", "tearsheet_headline.html", "tearsheet_best.html",
    "selection.html", "quality.html",
)  # fmt: skip

# What a reader sees of each chart: marks on the screen, not numbers in the data.
DRAWN = """() => Object.fromEntries([...document.querySelectorAll(".chart")].map((div) => [div.id, {
    kinds: [...new Set(div.data.map((trace) => trace.type + (trace.mode || "")))],
    asked: div.data.length,
    lines: [...div.querySelectorAll(".scatterlayer path.js-line")].map((line) => line.getTotalLength()),
    bars: div.querySelectorAll(".barlayer .point path").length,
    marks: div.querySelectorAll(".scatterlayer .points path").length,
    maps: div.querySelectorAll(".heatmaplayer image").length,
    width: div.querySelector(".main-svg").getBoundingClientRect().width,
}]))"""


@pytest.mark.parametrize("file", PAGES)
def test_every_chart_is_drawn(open_page: Callable[..., Any], report: Any, file: str) -> None:
    drawn = open_page(file).evaluate(DRAWN)
    assert set(drawn) == {f"chart-{name}" for name in report[file].figures}
    for name, chart in drawn.items():
        for kind, marks in (
            ("scatterlines", len(chart["lines"])),
            ("scattermarkers", chart["marks"]),
            ("bar", chart["bars"]),
            ("heatmap", chart["maps"]),
        ):
            assert marks > 0 or kind not in chart["kinds"], (name, kind)
        assert chart["width"] > 900, name


def test_the_charts_of_the_first_page_hold_what_they_are_for(open_page: Callable[..., Any]) -> None:
    drawn = open_page().evaluate(DRAWN)
    assert set(drawn) == {"chart-nav"}
    assert len(drawn["chart-nav"]["lines"]) == drawn["chart-nav"]["asked"] > 3
    # lines have points on the screen and not only in the data
    assert min(drawn["chart-nav"]["lines"]) > 900


def test_a_tearsheet_draws_every_window_and_every_month(open_page: Callable[..., Any]) -> None:
    drawn = open_page("tearsheet_headline.html").evaluate(DRAWN)
    assert drawn["chart-windows"]["bars"] == drawn["chart-windows"]["marks"] == 62
    assert drawn["chart-weights"]["bars"] >= 62
    assert drawn["chart-months"]["maps"] == 1
    assert {"chart-rolling-sharpe", "chart-rolling-annualized-vol", "chart-rolling-beta"} <= set(drawn)


@pytest.mark.parametrize(
    ("file", "chart"),
    [("index.html", "nav"), ("tearsheet_headline.html", "equity"), ("tearsheet_best.html", "equity")],
)
def test_the_drawn_nav_is_that_of_the_warehouse(
    open_page: Callable[..., Any], report: Any, sample_home: Home, file: str, chart: str
) -> None:
    drawn = open_page(file).evaluate(
        """(chart) => document.getElementById(chart).data.map((trace) => [
            trace.meta.config, trace.x.length,
            [0, Math.floor(trace.x.length / 2), trace.x.length - 1].map((i) => [trace.x[i], trace.y[i]]),
        ])""",
        f"chart-{chart}",
    )
    assert drawn
    for config, length, points in drawn:
        rows = ask(
            sample_home,
            """
            select p.session_date::varchar, p.nav from tournaments.portfolio_returns as p
            join tournaments.cells as c on p.run_id = c.run_id and p.cell_id = c.cell_id
            where c.run_id = ? and c.config_id = ? and c.cost_model = 'std_6bp' order by p.session_date
            """,
            report.run_id,
            config,
        )
        assert length == len(rows) + 1
        assert points[0] == ["2017-12-27", 1]
        # the start is point 0, so point n is row n - 1
        assert points[1:] == [list(rows[length // 2 - 1]), list(rows[-1])]


def answers(report: Any, sample_home: Home, section: str, query: str) -> list[tuple[Any, ...]]:
    """Run a query as the page shows it."""
    return ask(sample_home, report.queries(section)[query])


@pytest.mark.parametrize(
    ("chart", "section", "query", "place", "column"),
    [
        ("rolling-sharpe", "rolling", "rolling", 0, 1),
        ("rolling-annualized-vol", "rolling", "rolling", 0, 2),
        ("rolling-beta", "rolling", "rolling", 0, 3),
        ("charges", "charges", "cost_path", 0, 1),
        ("windows", "windows", "windows", 0, 5),
    ],
)
def test_a_drawn_series_is_what_the_sql_behind_it_answers(
    open_page: Callable[..., Any],
    report: Any,
    sample_home: Home,
    chart: str,
    section: str,
    query: str,
    place: int,
    column: int,
) -> None:
    tab = open_page("tearsheet_headline.html")
    if chart.startswith("rolling"):
        # the query on the page is the last that was asked: the longest look-back
        tab.select_option(f"[data-figures=chart-{chart}]", "year")
        tab.wait_for_timeout(100)
    x, y = tab.evaluate(
        """([chart, place]) => {
            const trace = document.getElementById(chart).data[place];
            return [trace.x.map(String), trace.y];
        }""",
        [f"chart-{chart}", place],
    )
    rows = answers(report, sample_home, f"tearsheet_headline.html#{section}", query)
    dates = [row[1] if query == "windows" else row[0] for row in rows]
    assert len(x) == len(rows)
    for point in (0, len(rows) // 2, len(rows) - 1):
        assert x[point] == str(dates[point])
        assert y[point] == pytest.approx(rows[point][column], abs=1e-12)


def test_the_drawn_months_are_what_the_sql_behind_them_answers(
    open_page: Callable[..., Any], report: Any, sample_home: Home
) -> None:
    trace = open_page("tearsheet_headline.html").evaluate(
        "() => (({x, y, z}) => ({x, y, z}))(document.getElementById('chart-months').data[0])"
    )
    rows = answers(report, sample_home, "tearsheet_headline.html#months", "months")
    months = [row for row in rows if row[1]]
    assert sum(value is not None for line in trace["z"] for value in line) == len(months)
    for year, month, value, *_ in (months[0], months[len(months) // 2], months[-1]):
        assert trace["z"][trace["y"].index(str(year))][month - 1] == pytest.approx(value, abs=1e-12)


def test_the_drawn_sharpe_map_is_the_published_metric(
    open_page: Callable[..., Any], report: Any, sample_home: Home
) -> None:
    values = open_page("comparison.html").evaluate("document.getElementById('chart-sharpe-map').data[0].z.flat()")
    published = ask(
        sample_home,
        """
        select m.value from tournaments.cell_metrics as m
        join tournaments.cells as c on m.run_id = c.run_id and m.cell_id = c.cell_id
        where c.run_id = ? and c.cost_model = 'std_6bp' and m.metric = 'sharpe' and not c.is_baseline
        """,
        report.run_id,
    )
    drawn = sorted(value for value in values if value is not None)
    assert drawn == pytest.approx(sorted(row[0] for row in published if row[0] is not None), abs=1e-12)


def test_a_reader_walks_through_all_pages_by_their_links(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    for file in (*PAGES[1:], PAGES[0]):
        tab.click(f"nav.pages a[href='{file}']")
        tab.wait_for_selector("html[data-charts=drawn]", state="attached")
        assert tab.url.endswith(f"/{file}")
        assert tab.locator("nav.pages a[aria-current=page]").get_attribute("href") == file


def test_a_guard_leads_to_where_it_was_looked_at(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    tab.click("#table-guards tr:has(td:text-is('Weights')) a")
    tab.wait_for_selector("html[data-charts=drawn]", state="attached")
    assert tab.url.endswith("/tearsheet_headline.html#weights")


def test_metrics_sort_by_a_click_and_back_by_another(open_page: Callable[..., Any]) -> None:
    tab = open_page("comparison.html")
    header = tab.locator("#table-metrics th button", has_text="Sharpe").first
    before = [float(value) for value in column(tab, "table-metrics", "Sharpe")]
    header.click()
    falling = [float(value) for value in column(tab, "table-metrics", "Sharpe")]
    assert falling == sorted(before, reverse=True) != before
    header.click()
    assert [float(value) for value in column(tab, "table-metrics", "Sharpe")] == sorted(before)
    assert tab.locator("#table-metrics th[aria-sort=ascending]").inner_text().strip() == "Sharpe"


def test_missing_values_stay_last_however_a_table_is_sorted(open_page: Callable[..., Any]) -> None:
    tab = open_page("comparison.html")
    header = tab.locator("#table-metrics th button", has_text="Cost drag").first
    for _ in range(2):
        header.click()
        values = column(tab, "table-metrics", "Cost drag p.a.")
        missing = values.count("")
        assert 0 < missing < len(values)
        assert values[-missing:] == [""] * missing


def test_texts_sort_as_texts(open_page: Callable[..., Any]) -> None:
    tab = open_page("quality.html")
    tab.locator("#table-health th button", has_text="Symbol").click()
    symbols = column(tab, "table-health", "Symbol")
    assert len(symbols) == 26
    assert symbols == sorted(symbols)


def test_all_metrics_are_a_click_away(open_page: Callable[..., Any]) -> None:
    tab = open_page("comparison.html")
    visible = "[...document.querySelectorAll('#table-metrics th')].filter((head) => head.offsetWidth).length"
    few = tab.evaluate(visible)
    tab.click("[data-extra=table-metrics]")
    assert tab.evaluate(visible) == tab.locator("#table-metrics th").count() > few
    tab.click("[data-extra=table-metrics]")
    assert tab.evaluate(visible) == few


def test_choosing_a_metric_draws_its_map(open_page: Callable[..., Any], report: Any) -> None:
    tab = open_page("risk.html")
    drawn = """() => document.getElementById("chart-risk-map").data[0].z"""
    figures = report["risk.html"].figures["risk-map"]
    assert len(figures) > 5
    for metric in [*figures, next(iter(figures))]:
        tab.select_option("[data-figures=chart-risk-map]", metric)
        tab.wait_for_timeout(100)
        assert tab.evaluate(drawn) == figures[metric]["data"][0]["z"]


def test_the_axis_of_the_nav_can_be_logarithmic(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    kind = "document.getElementById('chart-nav')._fullLayout.yaxis.type"
    assert tab.evaluate(kind) == "linear"
    tab.click("[data-log=chart-nav]")
    assert tab.evaluate(kind) == "log"
    tab.click("[data-log=chart-nav]")
    assert tab.evaluate(kind) == "linear"


def test_the_growth_of_a_tearsheet_begins_on_a_logarithmic_axis(open_page: Callable[..., Any]) -> None:
    tab = open_page("tearsheet_headline.html")
    kind = "document.getElementById('chart-equity')._fullLayout.yaxis.type"
    assert tab.evaluate(kind) == "log"
    assert tab.get_attribute("[data-log=chart-equity]", "aria-pressed") == "true"
    tab.click("[data-log=chart-equity]")
    assert tab.evaluate(kind) == "linear"


def test_hovering_compares_all_lines_of_one_session(open_page: Callable[..., Any], report: Any) -> None:
    tab = open_page()
    tab.hover("#chart-nav .nsewdrag")
    tab.wait_for_selector("#chart-nav .hoverlayer .legend", state="attached")
    words = tab.locator("#chart-nav .hoverlayer").text_content()
    assert all(trace["name"] in words for trace in report["index.html"].figures["nav"]["all"]["data"])


@pytest.mark.parametrize("file", PAGES)
@pytest.mark.parametrize("width", [420, 1200])
def test_a_page_never_scrolls_sideways(open_page: Callable[..., Any], width: int, file: str) -> None:
    tab = open_page(file, width)
    for details in tab.locator("details").all():
        details.evaluate("(found) => { found.open = true; }")
    for button in tab.locator("[data-extra]").all():
        button.click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    outside = tab.evaluate(
        """(width) => [...document.querySelectorAll("section, .chart, .main-svg, .tile, nav a, h1, h2, p")]
            .filter((found) => found.getBoundingClientRect().right > width + 0.5)
            .map((found) => found.outerHTML)""",
        width,
    )
    assert outside == []


def test_charts_take_the_colours_of_the_scheme_in_force(open_page: Callable[..., Any]) -> None:
    tab = open_page(scheme="light")
    colours = """() => {
        const div = document.getElementById("chart-nav");
        const body = getComputedStyle(document.body);
        return [div._fullLayout.font.color, div.data.at(-1).line.color, body.color, body.backgroundColor];
    }"""
    light = tab.evaluate(colours)
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_function("(was) => document.getElementById('chart-nav')._fullLayout.font.color !== was", arg=light[0])
    dark = tab.evaluate(colours)
    assert all(one != other for one, other in zip(light, dark, strict=True))


def test_a_narrow_window_can_become_a_wide_one(open_page: Callable[..., Any]) -> None:
    tab = open_page(width=420)
    tab.set_viewport_size({"width": 1200, "height": 900})
    tab.wait_for_function(
        "document.querySelector('#chart-nav .main-svg').getBoundingClientRect().width > 900", timeout=5000
    )
