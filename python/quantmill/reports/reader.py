"""What the sections share: settings, names of configurations, the headline, the cells that are drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from quantmill.reports import charts
from quantmill.reports.queries import Answers, MissingData

Row = Mapping[str, Any]

# The dimensions that choose, of all cells of a configuration, the one that is drawn and compared.
VIEW = ("simulator", "cost_model", "execution", "mode")
VARYING = ("selection_engine", "window_set", "rebalance_mode", "variant")
# Status words of what went as planned, and of configurations that have no cells by design.
HEALTHY_STATUSES = ("native", "composed", "delegated", "retried")
ABSENT_STATUSES = ("not_supported", "disabled")
# In the order of the page.
BASELINE_MEANING = {
    "market": "equal weight of the benchmark symbols",
    "benchmark": "equal weight of the winners of each window",
    "raw_pool_ew": "equal weight of all candidates before selection",
}


class Reader:
    """What the sections share: settings, names of configurations, the headline, the cells that are drawn."""

    def __init__(self, answers: Answers) -> None:
        self.ask = answers
        self._metrics: dict[tuple[str, str], dict[str, Any]] | None = None
        self._settings: Mapping[str, Any] | None = None

    def run(self) -> Row:
        """Return the row of the run."""
        return self.ask("run")[0]

    def settings(self) -> Mapping[str, Any]:
        """Return the resolved settings by dotted key."""
        # asked each time, as a section shows what it asked, but read once
        asked = self.ask("settings")
        if self._settings is None:
            self._settings = {row["key"]: json.loads(row["value"]) for row in asked}
        return self._settings

    def setting(self, key: str) -> Any:
        """Return one setting; raises `MissingData` where the run has none of that name."""
        settings = self.settings()
        if key not in settings:
            raise MissingData(
                f"the run has no setting '{key}'", remedy="build the run again with this version of quantmill"
            )
        return settings[key]

    def configs(self) -> list[dict[str, Any]]:
        """Return the configurations, the baselines last."""
        return self.ask("configs")

    def labels(self) -> dict[str, str]:
        """Return a short name per configuration: what differs between configurations is in it."""
        configs = self.configs()
        varying = [name for name in VARYING if len({row[name] for row in configs}) > 1]
        return {
            row["config_id"]: " · ".join(
                [row["risk_profile"]] * row["is_baseline"]
                + [row["engine"], row["risk_profile"]] * (not row["is_baseline"])
                # the baseline `market` selects by that name too
                + [row[name] for name in varying if not row["is_baseline"] or row[name] != row["risk_profile"]]
            )
            for row in configs
        }

    def headline(self) -> dict[str, Any]:
        """Return the configuration that the profile states as its own: of several, the first of the settings.

        A profile that names a selection engine for its headline means that one alone.

        Raises `MissingData` when the run has none.
        """
        engine, profile = self.setting("headline.engine"), self.setting("headline.risk_profile")
        selection = self.settings().get("headline.selection_engine")
        orders = {
            name: self.setting(f"matrix.{key}")
            for name, key in (
                ("selection_engine", "selection_engines"),
                ("window_set", "window_sets"),
                ("rebalance_mode", "rebalance_modes"),
            )
        }

        def rank(row: Row) -> tuple[Any, ...]:
            places = [order.index(row[name]) if row[name] in order else len(order) for name, order in orders.items()]
            return (*places, row["variant"] != "shared", row["config_id"])

        found = [
            row
            for row in self.configs()
            if not row["is_baseline"]
            and row["engine"] == engine
            and row["risk_profile"] == profile
            and selection in (None, row["selection_engine"])
        ]
        if not found:
            named = " ".join(filter(None, (selection, engine, profile)))
            raise MissingData(
                f"the headline configuration {named} is not among the configurations of the run",
                remedy="correct the profile's headline and build it",
            )
        return min(found, key=rank)

    def view(self) -> dict[str, str]:
        """Return the simulator, cost model, execution and mode of the cells that are drawn and compared.

        Simulator and costs are the first of the settings, the zero-cost twin only where there is no other.
        """
        costs = self.setting("matrix.cost_models")
        cells = self.ask("cells")
        view = {
            "simulator": self.setting("matrix.simulators")[0],
            "cost_model": next((name for name in costs if name != "gross"), costs[0]),
        }
        for name, usual in (("execution", "close"), ("mode", "parity")):
            there = sorted({row[name] for row in cells})
            view[name] = usual if usual in there else there[0]
        return view

    def drawn_cells(self) -> dict[str, dict[str, Any]]:
        """Return the cell of each configuration that is drawn, by config_id."""
        view = self.view()
        return {row["config_id"]: row for row in self.ask("cells") if all(row[name] == view[name] for name in VIEW)}

    def value(self, config_id: str, metric: str) -> float | None:
        """Return a metric of the drawn cell of a configuration; None where there is none."""
        cell = self.drawn_cells().get(config_id)
        row = self.metrics().get((cell["cell_id"], metric)) if cell else None
        return row["value"] if row else None

    def ranked(self) -> list[str]:
        """Return the config_ids that the scoreboard ranks and that are drawn, highest net Sharpe first.

        Those of the same returns as a better one share its rank and are left out: see `duplicates`.
        """
        drawn = self.drawn_cells()
        found = [
            (-row["sharpe"], row["rank"], row["config_id"])
            for row in self.ask("scoreboard")
            if row["rank"] is not None and row["config_id"] in drawn
        ]
        return [config_id for _, _, config_id in sorted(found)]

    def duplicates(self) -> dict[str, str]:
        """Return the configurations that share the rank of another, each with that other one."""
        rows = self.ask("scoreboard")
        return {row["config_id"]: row["duplicate_of"] for row in rows if row["duplicate_of"] is not None}

    def config(self, config_id: str) -> dict[str, Any]:
        """Return one configuration."""
        return next(row for row in self.configs() if row["config_id"] == config_id)

    def anchors_of(self, config: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the configurations that differ from `config` in the risk profile alone, which the profile anchors."""
        anchors = self.settings().get("anchors", [])
        same = ("engine", "selection_engine", "window_set", "rebalance_mode", "variant", "is_baseline")
        return [
            row
            for row in self.configs()
            if row["risk_profile"] in anchors
            and row["config_id"] != config["config_id"]
            and all(row[name] == config[name] for name in same)
        ]

    def baselines_of(self, config: Row) -> list[dict[str, Any]]:
        """Return the baselines of the same selection engine, windows and rebalance mode, market first."""
        order = list(BASELINE_MEANING)
        found = [
            row
            for row in self.configs()
            if row["is_baseline"]
            and all(row[name] == config[name] for name in ("selection_engine", "window_set", "rebalance_mode"))
        ]
        return sorted(
            found,
            key=lambda row: order.index(row["risk_profile"]) if row["risk_profile"] in order else len(order),
        )

    def paths(self) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of each drawn configuration in date order, by config_id, beginning with the start.

        Raises `MissingData` when a path does not begin at the close of its first decision.
        """
        config_of = {cell["cell_id"]: config_id for config_id, cell in self.drawn_cells().items()}
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.ask("paths", self.view()):
            found.setdefault(config_of[row["cell_id"]], []).append(row)
        session_counts = {row["cell_id"]: row["session_count"] for row in self.ask("growth")}
        for rows in found.values():
            if len(rows) != session_counts[rows[0]["cell_id"]] + 1:
                raise MissingData(
                    f"the path of cell {rows[0]['cell_id']} has {len(rows)} points for"
                    f" {session_counts[rows[0]['cell_id']]} sessions and the start before them",
                    remedy="the tables selection.windows and selection.run_settings must hold the run",
                )
        return found

    def styles(self, only: Sequence[str] | None = None) -> dict[str, charts.Line]:
        """Return how each configuration is drawn, the headline first and the baselines last.

        With `only` those configurations alone share the colours.
        """
        labels = self.labels()
        try:
            headline = self.headline()["config_id"]
        except MissingData:
            headline = None  # its own section says so; the lines are drawn all the same
        return charts.line_styles(
            [
                (row["config_id"], labels[row["config_id"]], row["is_baseline"])
                for row in self.configs()
                if only is None or row["config_id"] in only
            ],
            headline,
        )

    def metrics(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the metric rows by cell_id and metric."""
        rows = self.ask("metrics")
        if self._metrics is None:
            self._metrics = {(row["cell_id"], row["metric"]): row for row in rows}
        return self._metrics


def cost_sentence(name: str, model: Mapping[str, float] | None) -> str:
    """Return the words for a cost model."""
    if model is None:
        return f"cost model {name}"
    slippage, commission = model["slippage_bps"], model["commission_bps"]
    if not (slippage or commission or model["borrow_annual"]):
        return f"cost model {name}: no costs"
    return (
        f"cost model {name}: {slippage:g} bp slippage and {commission:g} bp commission per side, borrow"
        f" {model['borrow_annual']:.1%} a year"
    )


def _cost_model(settings: Mapping[str, Any], name: str) -> dict[str, float] | None:
    prefix = f"cost_models.{name}."
    found = {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}
    return found if {"slippage_bps", "commission_bps", "borrow_annual"} <= set(found) else None


def view_sentence(reader: Reader) -> str:
    """Return the words for the cells that are drawn and compared."""
    view = reader.view()
    costs = cost_sentence(view["cost_model"], _cost_model(reader.settings(), view["cost_model"]))
    return f"simulator {view['simulator']}, orders at the {view['execution']}, {costs}"


def by_config(rows: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the rows of each configuration, in their order, by config_id."""
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row["config_id"], []).append(row)
    return found
