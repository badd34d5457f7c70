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

__all__ = [
    "CellCounts",
    "CellSeries",
    "MetricRow",
    "PublishedMetrics",
    "WindowMetricRow",
    "WindowWeights",
    "cell_metrics",
    "published_metrics",
    "series_of",
    "window_metrics",
]
