"""The study of regime weights on a published market: what it found, as files and as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantmill.errors import DataContractError
from quantmill.features.calibration import CalibrationRules, Study, calibrate
from quantmill.features.regimes import RegimeWeights
from quantmill.manifest.home import Home
from quantmill.snapshot import read_snapshot

if TYPE_CHECKING:
    from rich.table import Table

SEED_FILE = "models/features/regime/seed_regime_weights.csv"
SCORES = ("chosen_score", "present_score", "climate_score")
PROXY = """
    select session_date, proxy_return
    from features.market_regimes
    where asset_class = $asset_class and session_date <= $until
    order by session_date
"""


def calibrate_regime(
    home: Home, asset_class: str, *, until: date, rules: CalibrationRules, say: Callable[[str], None] = print
) -> Path:
    """Write the nested walk-forward study of the regime weights of `asset_class` and return its folder.

    Read are the sessions of the published `features.market_regimes` up to `until`. The folder holds `study.csv`, a row
    per test span, `proposal.csv`, the row for the file of weights, and `study.md`, which reads both out.

    Raises `DataContractError` where the class has too few sessions.
    """
    sessions, returns = _read_proxy(home, asset_class, until)
    present = _weights_in_force(home, asset_class)
    study = calibrate(returns, present=present, rules=rules)
    folder = home.reports / "calibrate-regime" / f"{asset_class}-{sessions[-1]:%Y%m%d}"
    folder.mkdir(parents=True, exist_ok=True)
    rows = _fold_rows(study, sessions)
    (folder / "study.csv").write_text(_csv(rows), encoding="utf-8")
    (folder / "proposal.csv").write_text(_csv([_proposal(study, asset_class, sessions)]), encoding="utf-8")
    (folder / "study.md").write_text(_text(study, asset_class, sessions, rules, rows), encoding="utf-8")
    _show(study, sessions)
    verdict = _verdict(study)
    say(verdict)
    say(f"written: {folder}/study.md, study.csv, proposal.csv")
    return folder


def _read_proxy(
    home: Home, asset_class: str, until: date
) -> tuple[list[date], np.ndarray[tuple[int], np.dtype[np.float64]]]:
    with read_snapshot(home) as connection:
        rows = connection.execute(PROXY, {"asset_class": asset_class, "until": until}).fetchall()
        if not rows:
            classes = connection.execute(
                "select distinct asset_class from features.market_regimes order by 1"
            ).fetchall()
            raise DataContractError(
                f"features.market_regimes has no session of asset class {asset_class} up to {until}; it has"
                f" {', '.join(name for (name,) in classes) or 'none at all'}",
                remedy="name one of these, or build a profile whose symbols are of that class",
            )
    return [session for session, _ in rows], np.array([value for _, value in rows])


def _weights_in_force(home: Home, asset_class: str) -> RegimeWeights:
    """Return the weights that the file of weights gives the class, or those of `other`."""
    with (home.root / SEED_FILE).open(encoding="utf-8", newline="") as file:
        rows = {row["asset_class"]: row for row in csv.DictReader(file)}
    row = rows.get(asset_class, rows["other"])
    return RegimeWeights(**{one.name: float(row[one.name]) for one in fields(RegimeWeights)})


def _fold_rows(study: Study, sessions: list[date]) -> list[dict[str, object]]:
    return [
        {
            "train_start_date": sessions[fold.train_start],
            "train_end_date": sessions[fold.train_end - 1],
            "test_start_date": sessions[fold.test_start],
            "test_end_date": sessions[fold.test_end - 1],
            "chosen_score": round(fold.chosen_score, 6),
            "present_score": round(fold.present_score, 6),
            "climate_score": round(fold.climate_score, 6),
            "best_inner_score": round(fold.best_inner_score, 6),
            "inner_error": round(fold.inner_error, 6),
            **{name: round(value, 4) for name, value in asdict(fold.weights).items()},
        }
        for fold in study.folds
    ]


def _proposal(study: Study, asset_class: str, sessions: list[date]) -> dict[str, object]:
    """The row for the file of weights; its six shares sum to 1 after rounding too."""
    rounded = {name: round(value, 4) for name, value in asdict(study.proposal).items()}
    shared = [one.name for one in fields(RegimeWeights) if one.name != "fat_tail"]
    largest = max(shared, key=lambda name: rounded[name])
    rounded[largest] = round(rounded[largest] + 1.0 - sum(rounded[name] for name in shared), 4)
    return {
        "asset_class": asset_class,
        **rounded,
        "tuned_from": sessions[0],
        "tuned_to": sessions[-1],
    }


def _csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _verdict(study: Study) -> str:
    if study.proposal == study.present:
        return "the study keeps the weights in force: no other weighting is better by more than one standard error"
    if not study.is_better:
        return (
            "the study proposes other weights, but out of sample its choices foretold worse than the weights in force:"
            " keep those"
        )
    return f"the study proposes other weights; to use them, put the row of proposal.csv into {SEED_FILE}"


def _show(study: Study, sessions: list[date]) -> None:
    from rich.console import Console
    from rich.table import Table

    table: Table = Table(title="mean log score out of sample, higher is better")
    for head in ("tested", "chosen", "in force", "frequencies alone"):
        table.add_column(head, justify="left" if head == "tested" else "right")
    for fold in study.folds:
        table.add_row(
            f"{sessions[fold.test_start]} to {sessions[fold.test_end - 1]}",
            f"{fold.chosen_score:.4f}",
            f"{fold.present_score:.4f}",
            f"{fold.climate_score:.4f}",
        )
    table.add_section()
    table.add_row("all", *(f"{study.mean_score(name):.4f}" for name in SCORES))
    Console().print(table)


def _text(
    study: Study, asset_class: str, sessions: list[date], rules: CalibrationRules, rows: list[dict[str, object]]
) -> str:
    names = [one.name for one in fields(RegimeWeights)]
    lines = [
        f"# Weights of the regime of {asset_class}, {sessions[0]} to {sessions[-1]}",
        "",
        f"{_verdict(study).capitalize()}.",
        "",
        f"Each of {rules.points + 1} weightings gives every session a score. It is judged by the mean logarithm of the"
        f" probability that its score gave to the third of volatility that the next {rules.horizon} sessions fell into;"
        " 0 is perfect, -1.0986 says nothing. Weights are chosen within the training span (the nearest to those in"
        " force among all within one standard error of the best) and judged on the span after it.",
        "",
        "| Tested | Chosen | In force | Frequencies alone |",
        "|---|---|---|---|",
        *(
            f"| {row['test_start_date']} to {row['test_end_date']} | {row['chosen_score']:.4f} |"
            f" {row['present_score']:.4f} | {row['climate_score']:.4f} |"
            for row in rows
        ),
        f"| all | {' | '.join(f'{study.mean_score(name):.4f}' for name in SCORES)} |",
        "",
        "| Weight | In force | Proposed |",
        "|---|---|---|",
        *(f"| {name} | {getattr(study.present, name):.2f} | {getattr(study.proposal, name):.4f} |" for name in names),
        "",
        f"Whoever uses the proposal puts the row of `proposal.csv` into `{SEED_FILE}`. What is decided up to"
        f" {sessions[-1]} is then in sample: its windows carry WEIGHTS_IN_SAMPLE and no cell of theirs is promotable.",
        "",
    ]
    return "\n".join(lines)
