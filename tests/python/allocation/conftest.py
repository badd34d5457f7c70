"""Settings and windows that the tests of the allocation share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from quantmill.allocation.engines.contract import Request
from quantmill.allocation.estimators import WindowInput
from quantmill.allocation.feasible import FeasibleSet
from quantmill.manifest.settings import AllocationSettings

DEFAULTS = {
    "covariance": "ledoit_wolf",
    "mean_window": 200,
    "correlation_shrinkage": (0.01, 0.15, 0.50, 0.95),
    "variance_floor": 1e-6,
    "kappa_max": 5000.0,
    "cluster_mode": "ward",
    "cluster_lookbacks": (60, 120, 200),
    "cluster_cut": {"QUIET": 0.5, "NORMAL": 0.4, "TURBULENT": 0.35, "CRISIS": 0.3},
    "max_clusters": 25,
    "cluster_cap": 0.25,
    "regime_caps": {"QUIET": 0.25, "NORMAL": 0.25, "TURBULENT": 0.2, "CRISIS": 0.15},
    "asset_cap": 0.25,
    "cap_policy": "relax",
    "intra_mode": "blend",
    "intra_alpha": 0.5,
    "momentum_window": 60,
    "l2_gamma": {
        "EXPANSION": 0.05,
        "NORMAL": 0.05,
        "QUIET": 0.05,
        "INFLATIONARY_TREND": 0.10,
        "STAGNATION": 0.10,
        "TURBULENT": 0.10,
        "CRISIS": 0.20,
    },
    "mean_rows_min": 60,
    "risk_free_annual": 0.0,
    "l2_floor_max_sharpe": 0.10,
    "sharpe_max": 10.0,
    "hrp_variant": "product",
    "volatility_bands": {
        "equal_weight": 0.45,
        "min_variance": 0.35,
        "hrp": 0.45,
        "risk_parity": 0.45,
        "max_sharpe": 0.90,
    },
    "fragility": 0.20,
    "turnover_penalty": False,
    "turnover_cost_model": "std_6bp",
    "cvar_beta": 0.95,
    "toxic_return": 5.0,
    "min_coverage": 0.70,
    "max_missing": 0.10,
    "min_rows": 30,
    "health_min": 0.75,
}
NO_CAP = {"cluster_cap": 1.0, "asset_cap": 1.0, "regime_caps": dict.fromkeys(DEFAULTS["regime_caps"], 1.0)}
PLAIN = {
    **NO_CAP,
    "covariance": "sample",
    "cluster_mode": "none",
    "correlation_shrinkage": (0.0,),
    "variance_floor": 0.0,
    "kappa_max": 1e12,
    "l2_gamma": dict.fromkeys(DEFAULTS["l2_gamma"], 0.0),
    "l2_floor_max_sharpe": 0.0,
    "fragility": 0.0,
}


@pytest.fixture
def make_settings() -> Callable[..., AllocationSettings]:
    """Default settings with changes."""
    return lambda **changes: AllocationSettings.model_validate({**DEFAULTS, **changes})


@pytest.fixture
def plain() -> dict[str, object]:
    """Changes that leave nothing but the sample covariance and a long-only budget."""
    return dict(PLAIN)


@pytest.fixture
def no_cap() -> dict[str, object]:
    """Changes that lift every cap."""
    return dict(NO_CAP)


@pytest.fixture
def make_window() -> Callable[..., WindowInput]:
    """A window around a matrix of returns; every atom is a LONG of its own symbol unless said otherwise."""

    def build(returns, *, symbols=None, signs=None, regime="NORMAL", quadrant=None, is_young=None, index=0):
        returns = np.asarray(returns, dtype=float)
        count = returns.shape[1]
        return WindowInput(
            window_index=index,
            atom_ids=tuple(f"X:A{place:03d}_buy_hold_LONG" for place in range(count)),
            returns=returns,
            symbols=np.arange(count) if symbols is None else np.asarray(symbols),
            signs=np.ones(count, dtype=np.int64) if signs is None else np.asarray(signs),
            regime=regime,
            quadrant=quadrant,
            is_young=None if is_young is None else np.asarray(is_young),
        )

    return build


@pytest.fixture
def simulate() -> Callable[..., np.ndarray]:
    """Returns (sessions, count) of a one-factor market with different volatilities."""

    def build(sessions=252, count=20, seed=0):
        rng = np.random.default_rng(seed)
        factor = rng.normal(0, 0.008, (sessions, 1))
        own = rng.normal(0, 1, (sessions, count)) * rng.uniform(0.006, 0.025, count)
        return 0.0003 + factor * rng.uniform(0.4, 1.4, count) + own

    return build


@pytest.fixture(scope="session")
def stocks() -> tuple[tuple[str, ...], np.ndarray]:
    """Names, ascending, and the last 1,511 daily returns of the 20 stocks that come with skfolio."""
    import importlib.util

    import pandas as pd

    package = importlib.util.find_spec("skfolio")
    path = Path(package.origin).parent / "datasets" / "data" / "sp500_dataset.csv.gz"
    closes = pd.read_csv(path, index_col=0).iloc[-1512:].sort_index(axis=1)
    return tuple(closes.columns), closes.pct_change().iloc[1:].to_numpy()


@pytest.fixture(scope="session")
def default_values() -> dict[str, object]:
    """The default settings as plain values."""
    return dict(DEFAULTS)


@pytest.fixture
def streams_of() -> Callable[..., np.ndarray]:
    """Streams (K, T) whose sample mean and sample covariance (divided by T - 1) are exactly those asked for."""

    def build(covariance, mean=None, sessions=252, seed=0):
        covariance = np.asarray(covariance, dtype=float)
        raw = np.random.default_rng(seed).normal(size=(sessions, len(covariance)))
        raw -= raw.mean(axis=0)
        white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw.T))).T
        mean = np.zeros(len(covariance)) if mean is None else np.asarray(mean)
        return (white @ np.linalg.cholesky(covariance).T + mean).T

    return build


@pytest.fixture
def make_request() -> Callable[..., Request]:
    """A request for one profile on a covariance, a mean and streams, without caps or penalties unless given."""

    def build(profile, covariance, *, mean=None, streams=None, cap=1.0, budget=1.0, rows=None, limits=None, **changes):
        covariance = np.asarray(covariance, dtype=float)
        count = len(covariance)
        feasible = FeasibleSet(
            budget=budget,
            cap=cap,
            asset_cap=1.0,
            is_cap_relaxed=False,
            is_asset_cap_relaxed=False,
            rows=rows,
            limits=limits,
            point=None,
            refusal="",
        )
        values = {
            "profile": profile,
            "covariance": covariance,
            "mean_variance": float(np.trace(covariance)) / count,
            "mean": np.zeros(count) if mean is None else np.asarray(mean, dtype=float),
            "streams": np.empty((count, 0)) if streams is None else streams,
            "fragility": np.zeros(count),
            "feasible": feasible,
            "periods_per_year": 252,
            "gamma": 0.0,
            "fragility_weight": 0.0,
            "risk_free_annual": 0.0,
            "turnover_price": 0.0,
            "previous": None,
            "hrp_variant": "product",
        }
        return Request(**{**values, **changes})

    return build
