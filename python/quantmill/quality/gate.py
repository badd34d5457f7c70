"""What the outcome of a rule means for the run, and the words in which the gate refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quantmill.listing import markdown

# Under which gate a rule of which severity stops the run when it fails.
STOPPING: dict[str, tuple[str, ...]] = {
    "strict": ("stop", "quarantine"),
    "raw_pool": ("stop",),
    "report": (),
}
# Failing rows of one rule that the refusal shows.
SHOWN = 10
COLUMNS = ["suite", "rule", "symbol", "last session", "expected", "detail", "remedy"]


def is_stopping(gate: str, severity: str, status: str, *, is_judged: bool) -> bool:
    """Return whether an outcome stops the run.

    A rule that could not be judged (status error) may hide anything, so its severity says nothing: only `report`
    lets it pass. Where no rule at all could be judged (`is_judged` false), everything stops.
    """
    if status == "pass":
        return False
    if status == "error":
        return not is_judged or gate != "report"
    return severity in STOPPING[gate]


def refusal(
    profile: str, gate: str, results: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, Any]]
) -> str | None:
    """Return why the gate stops the run, as one table of offenders, or None where it lets the run pass.

    `results` are rows of `features.quality_results` of one judgement, `failures` those of `features.quality_failures`.
    """
    stopping = [row for row in results if row["is_stopping"]]
    if not stopping:
        return None
    offenders: list[list[Any]] = []
    for row in stopping:
        remedy = row["remedy"]
        if row["status"] == "error":
            remedy = (
                f"mend the rule in manifest/quality/{row['suite']}.yml, or run 'make setup' if a package is missing"
            )
            offenders.append([row["suite"], row["expectation"], None, None, row["expected"], row["error"], remedy])
            continue
        own = [one for one in failures if (one["suite"], one["expectation"]) == (row["suite"], row["expectation"])]
        own.sort(key=lambda one: one["rank"])
        offenders += [
            [
                one["suite"],
                one["expectation"],
                one["symbol"],
                one["session_date"],
                one["expected"],
                one["detail"],
                remedy,
            ]
            for one in own[:SHOWN]
        ]
        hidden = row["unexpected_count"] - len(own[:SHOWN])
        if hidden > 0:
            more = f"and {hidden} more rows: a build records them in features.quality_failures"
            offenders.append([row["suite"], row["expectation"], None, None, None, more, remedy])
    judgement = results[0]["judgement_id"]
    return (
        f"quality gate '{gate}' stops profile {profile}: {len(stopping)} of {len(results)} rules do not hold"
        f" (judgement {judgement})\n\n{markdown(COLUMNS, offenders)}\n\n"
        "do what the last column says and build again; docs/quality.md says what else the setting quality.gate allows"
    )
