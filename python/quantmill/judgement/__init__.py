"""What a simulated path was worth, computed twice."""

from quantmill.judgement.independent import PublishedMetrics, published_metrics
from quantmill.judgement.metrics import (
    CellCounts,
    CellSeries,
    MetricRow,
    WindowMetricRow,
    WindowWeights,
    cell_metrics,
    selection_jaccard,
    series_of,
    temporal_fragility,
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
    "selection_jaccard",
    "series_of",
    "temporal_fragility",
    "window_metrics",
]
