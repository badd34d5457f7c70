"""The page in a real browser without a network: what is drawn, what can be clicked, what fits."""

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
def open_page(browser: Any, page: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens the report; at the end nothing may have gone wrong or gone out."""
    opened: list[tuple[Any, list[str], list[str]]] = []

    def open_at(width: int = 1200, scheme: str = "light") -> Any:
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
        tab.goto(page.path.as_uri())
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


def test_every_chart_is_drawn(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    drawn = tab.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".chart")].map((div) => [div.id, {
            asked: div.data.length,
            lines: div.querySelectorAll(".scatterlayer path.js-line").length,
            bars: div.querySelectorAll(".barlayer .point path").length,
            marks: div.querySelectorAll(".scatterlayer .points path").length,
            width: div.querySelector(".main-svg").getBoundingClientRect().width,
        }]))"""
    )
    assert set(drawn) == {"chart-nav", "chart-drawdown", "chart-weights", "chart-windows"}
    for name in ("chart-nav", "chart-drawdown"):
        assert drawn[name]["lines"] == drawn[name]["asked"] > 3
    assert drawn["chart-weights"]["bars"] >= 62
    assert drawn["chart-windows"]["bars"] == drawn["chart-windows"]["marks"] == 62
    assert all(chart["width"] > 900 for chart in drawn.values())


def test_lines_have_points_on_the_screen_and_not_only_in_the_data(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    lengths = tab.evaluate(
        """() => [...document.querySelectorAll("#chart-nav .scatterlayer path.js-line")]
            .map((line) => line.getTotalLength())"""
    )
    assert len(lengths) > 3
    assert min(lengths) > 900


def test_the_drawn_nav_is_that_of_the_warehouse(open_page: Callable[..., Any], page: Any, sample_home: Home) -> None:
    tab = open_page()
    drawn = tab.evaluate(
        """() => document.getElementById("chart-nav").data.map((trace) => [
            trace.meta.config, trace.x.length,
            [0, Math.floor(trace.x.length / 2), trace.x.length - 1].map((i) => [trace.x[i], trace.y[i]]),
        ])"""
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
            page.run_id,
            config,
        )
        assert length == len(rows) + 1
        assert points[0] == ["2017-12-27", 1]
        # the start is point 0, so point n is row n - 1
        assert points[1:] == [list(rows[length // 2 - 1]), list(rows[-1])]


def test_metrics_sort_by_a_click_and_back_by_another(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    header = tab.locator("#table-metrics th button", has_text="Sharpe").first
    before = [float(value) for value in column(tab, "table-metrics", "Sharpe")]
    header.click()
    falling = [float(value) for value in column(tab, "table-metrics", "Sharpe")]
    assert falling == sorted(before, reverse=True) != before
    header.click()
    assert [float(value) for value in column(tab, "table-metrics", "Sharpe")] == sorted(before)
    assert tab.locator("#table-metrics th[aria-sort=ascending]").inner_text().strip() == "Sharpe"


def test_missing_values_stay_last_however_a_table_is_sorted(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    header = tab.locator("#table-metrics th button", has_text="Cost drag").first
    for _ in range(2):
        header.click()
        values = column(tab, "table-metrics", "Cost drag p.a.")
        missing = values.count("")
        assert 0 < missing < len(values)
        assert values[-missing:] == [""] * missing


def test_texts_sort_as_texts(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    tab.locator("#table-health th button", has_text="Symbol").click()
    symbols = column(tab, "table-health", "Symbol")
    assert len(symbols) == 26
    assert symbols == sorted(symbols)


def test_all_metrics_are_a_click_away(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    visible = "[...document.querySelectorAll('#table-metrics th')].filter((head) => head.offsetWidth).length"
    few = tab.evaluate(visible)
    tab.click("[data-extra=table-metrics]")
    assert tab.evaluate(visible) == tab.locator("#table-metrics th").count() > few
    tab.click("[data-extra=table-metrics]")
    assert tab.evaluate(visible) == few


def test_choosing_a_configuration_draws_its_book(open_page: Callable[..., Any], page: Any) -> None:
    tab = open_page()
    drawn = """() => document.getElementById("chart-weights").data.map((trace) => [trace.name, trace.y])"""
    figures = page.figures["weights"]
    assert len(figures) > 1
    for config in [*figures, next(iter(figures))]:
        tab.select_option("[data-figures=chart-weights]", config)
        tab.wait_for_timeout(100)
        assert tab.evaluate(drawn) == [[trace["name"], trace["y"]] for trace in figures[config]["data"]]


def test_the_axis_of_the_nav_can_be_logarithmic(open_page: Callable[..., Any]) -> None:
    tab = open_page()
    kind = "document.getElementById('chart-nav')._fullLayout.yaxis.type"
    assert tab.evaluate(kind) == "linear"
    tab.click("[data-log=chart-nav]")
    assert tab.evaluate(kind) == "log"
    tab.click("[data-log=chart-nav]")
    assert tab.evaluate(kind) == "linear"


def test_hovering_compares_all_lines_of_one_session(open_page: Callable[..., Any], page: Any) -> None:
    tab = open_page()
    tab.hover("#chart-nav .nsewdrag")
    tab.wait_for_selector("#chart-nav .hoverlayer .legend", state="attached")
    words = tab.locator("#chart-nav .hoverlayer").text_content()
    assert all(trace["name"] in words for trace in page.figures["nav"]["all"]["data"])


@pytest.mark.parametrize("width", [420, 1200])
def test_the_page_never_scrolls_sideways(open_page: Callable[..., Any], width: int) -> None:
    tab = open_page(width)
    for details in tab.locator("details").all():
        details.evaluate("(found) => { found.open = true; }")
    tab.click("[data-extra=table-metrics]")
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
    tab = open_page(420)
    tab.set_viewport_size({"width": 1200, "height": 900})
    tab.wait_for_function(
        "document.querySelector('#chart-nav .main-svg').getBoundingClientRect().width > 900", timeout=5000
    )
