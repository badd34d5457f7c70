"""The clustering stage: every pool of every window in clusters, once for all engines that cluster alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from quantmill.selection.clustering import Clustering, ClusteringRules, cluster_pool, companions, regime_cut
from quantmill.stages.context import fetch, read_context
from quantmill.stages.matrices import return_matrix
from quantmill.stages.nesting import flatten_groups, nested
from quantmill.stages.plan import dimension_id

if TYPE_CHECKING:
    import pyarrow as pa

    from quantmill.manifest.settings import Settings

# The atoms that an engine clusters: all candidates with data, or those of them without a hard veto.
ENGINE_POOLS = {"baseline": "all", "v3.2": "not_hard"}
MEMBERS = ("symbol", "cluster_id", "co_member_count", "persistent_count")
PAIRS = ("symbol_a", "symbol_b", "cluster_id", "correlation", "leverage_correlation", "beta_a_on_b", "beta_b_on_a")
CLUSTERS = ("cluster_id", "cluster_size", "mean_correlation", "volatility_annual")


def plan_clusterings(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return each clustering of the run by its id: its pool, its parameters, and the engines that share it."""
    selection = settings.selection
    parameters = {
        "lookbacks": list(selection.cluster_lookbacks),
        "min_periods": selection.cluster_min_periods,
        "shrinkage": list(selection.cluster_shrinkage),
        "kappa_max": selection.kappa_max,
        "threshold_mode": selection.threshold_mode,
        "cluster_threshold": selection.cluster_threshold,
        "regime_cuts": dict(settings.allocation.cluster_cut),
        "max_clusters": selection.max_clusters,
    }
    planned: dict[str, dict[str, Any]] = {}
    for engine in settings.matrix.selection_engines:
        identity = {"pool": ENGINE_POOLS[engine], **parameters}
        found = planned.setdefault(dimension_id(identity), {"pool": ENGINE_POOLS[engine], "engines": []})
        found["engines"].append(engine)
    return planned


def cluster_run(*, current_run: Any, settings: Any, windows: Any, pools: Any, returns: Any) -> pa.Table:
    """Return a row per window and clustering: what it used, and its members, pairs and clusters as lists.

    The arguments are DuckDB relations of the models of the same names. No rows for a sealed run.
    """
    context = read_context(current_run, settings)
    if context.is_sealed:
        return _table(context.run_id, [], ([], [], []))
    window_rows = fetch(windows, context.run_id, "window_set, window_index").to_pylist()
    pool_rows = fetch(pools, context.run_id, "window_set, window_index, pool, symbol").to_pylist()
    members: dict[tuple[str, int, str], list[str]] = {}
    for row in pool_rows:
        members.setdefault((row["window_set"], row["window_index"], row["pool"]), []).append(row["symbol"])
    symbols = sorted({row["symbol"] for row in pool_rows})
    sessions = _sessions(returns, symbols)
    values = return_matrix(returns, symbols, sessions)
    column = {symbol: place for place, symbol in enumerate(symbols)}
    longest = max(context.settings.selection.cluster_lookbacks)
    rows: list[dict[str, Any]] = []
    lists: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for window in window_rows:
        end = int(np.searchsorted(sessions, np.datetime64(window["decision_date"], "D"), side="right"))
        rules = _rules(context.settings, window["regime"])
        for clustering_id, plan in plan_clusterings(context.settings).items():
            own = members.get((window["window_set"], window["window_index"], plan["pool"]), [])
            block = values[max(end - longest, 0) : end, [column[symbol] for symbol in own]]
            found = cluster_pool(block, rules)
            rows.append(_row(window, clustering_id, plan, rules, found))
            scale = math.sqrt(context.settings.periods_per_year)
            inverse = -context.settings.selection.limits.leverage_correlation
            for target, records in zip(lists, _records(own, found, scale, inverse), strict=True):
                target.append(records)
    return _table(context.run_id, rows, lists)


def _sessions(returns: Any, symbols: list[str]) -> np.ndarray[Any, Any]:
    """Return the sessions on which any of the symbols has a return, ascending."""
    if not symbols:
        return np.zeros(0, dtype="datetime64[D]")
    names = ", ".join("'" + symbol.replace("'", "''") + "'" for symbol in symbols)
    found = returns.filter(f"symbol in ({names})").aggregate("session_date", "session_date").order("session_date")
    dates = found.to_arrow_table()["session_date"].to_numpy()
    return np.asarray(dates, dtype="datetime64[D]")


def _rules(settings: Settings, regime: str) -> ClusteringRules:
    selection = settings.selection
    cuts = {str(label): cut for label, cut in settings.allocation.cluster_cut.items()}
    return ClusteringRules(
        lookbacks=selection.cluster_lookbacks,
        min_periods=selection.cluster_min_periods,
        shrinkage=selection.cluster_shrinkage,
        kappa_max=selection.kappa_max,
        cut=regime_cut(selection.cluster_threshold, cuts, regime, selection.threshold_mode),
        max_clusters=selection.max_clusters,
    )


def _row(
    window: dict[str, Any], clustering_id: str, plan: dict[str, Any], rules: ClusteringRules, found: Clustering
) -> dict[str, Any]:
    return {
        "window_set": window["window_set"],
        "window_index": window["window_index"],
        "clustering_id": clustering_id,
        "pool": plan["pool"],
        "selection_engines": plan["engines"],
        "threshold": rules.cut,
        "cluster_count": found.cluster_count,
        "lookback_count": len(found.lookbacks),
        "longest_lookback": found.lookbacks[-1],
        "imputed_pair_count": found.imputed_pair_count,
        # a matrix that stayed singular has no condition number
        "kappa": found.kappa if math.isfinite(found.kappa) else None,
        "is_singular": math.isinf(found.kappa),
        "shrinkage": None if math.isnan(found.shrinkage) else found.shrinkage,
    }


def _records(own: list[str], found: Clustering, scale: float, inverse: float) -> tuple[list[Any], list[Any], list[Any]]:
    """Return members, pairs and clusters of one clustering as tuples of the columns above.

    Pairs are those within a cluster, and beside them, with NULL for the cluster, those whose correlation is `inverse`
    or less: an inverse wrapper stands as far from what it wraps as can be.
    """
    met, persistent = companions(found)
    labels = found.labels.tolist()
    members = list(zip(own, labels, met.tolist(), persistent.tolist(), strict=True))
    pairs = []
    for a in range(len(own)):
        for b in range(a + 1, len(own)):
            is_together = labels[a] == labels[b]
            if is_together or found.leverage_correlation[a, b] <= inverse:
                numbers = (
                    found.correlation[a, b],
                    found.leverage_correlation[a, b],
                    found.beta[a, b],
                    found.beta[b, a],
                )
                label = labels[a] if is_together else None
                pairs.append((own[a], own[b], label, *(_number(float(value)) for value in numbers)))
    clusters = []
    for label in range(1, found.cluster_count + 1):
        places = np.flatnonzero(found.labels == label)
        upper = found.correlation[np.ix_(places, places)][np.triu_indices(len(places), 1)]
        mean = float(upper.mean()) if len(upper) else 1.0
        clusters.append((label, len(places), mean, _number(float(found.volatility[label - 1]) * scale)))
    return members, pairs, clusters


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _table(run_id: str, rows: list[dict[str, Any]], lists: tuple[list[Any], list[Any], list[Any]]) -> pa.Table:
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int32()
    scalars = {
        "window_set": text,
        "window_index": whole,
        "clustering_id": text,
        "pool": text,
        "selection_engines": pa.list_(text),
        "threshold": number,
        "cluster_count": whole,
        "lookback_count": whole,
        "longest_lookback": whole,
        "imputed_pair_count": whole,
        "kappa": number,
        "is_singular": pa.bool_(),
        "shrinkage": number,
    }
    kinds = {
        "symbol": text, "symbol_a": text, "symbol_b": text, "cluster_id": whole, "cluster_size": whole,
        "co_member_count": whole, "persistent_count": whole,
    }  # fmt: skip
    columns: dict[str, Any] = {"run_id": pa.array([run_id] * len(rows), text)}
    for name, kind in scalars.items():
        columns[name] = pa.array([row[name] for row in rows], kind)
    for name, names, groups in zip(("members", "pairs", "clusters"), (MEMBERS, PAIRS, CLUSTERS), lists, strict=True):
        types = {field: kinds.get(field, number) for field in names}
        columns[name] = nested(*flatten_groups(groups, names), types)
    return pa.table(columns)
