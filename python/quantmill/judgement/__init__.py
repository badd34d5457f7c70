"""What a simulated path was worth, computed twice."""

from quantmill.judgement.independent import PublishedMetrics, published_metrics
from quantmill.judgement.metrics import (
    CellCounts,
    CellSeries,
    MetricRow,
    WindowMetricRow,
    WindowWeights,
    cell_metrics,
    series_of,
    window_metrics,
)
from quantmill.judgement.scoreboard import GATES, Entrant, GateRow, ParityGaps, ScoreRow, judge_gates, score

__all__ = [
    "GATES",
    "CellCounts",
    "CellSeries",
    "Entrant",
    "GateRow",
    "MetricRow",
    "ParityGaps",
    "PublishedMetrics",
    "ScoreRow",
    "WindowMetricRow",
    "WindowWeights",
    "cell_metrics",
    "judge_gates",
    "published_metrics",
    "score",
    "series_of",
    "window_metrics",
]
