"""The settings of a run as frozen records. Each field has a unit and a meaning; an unknown field is an error.

Rates are fractions (0.02 = 2 %), costs are basis points where the name ends in `_bps`, lengths are sessions
of the run's grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from quantmill.manifest.fields import Timeframe
from quantmill.manifest.scanners import SYMBOL_PATTERN, Logic

Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0)]
Sessions = Annotated[int, Field(ge=1)]
Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN)]
Regime = Literal["QUIET", "NORMAL", "TURBULENT", "CRISIS"]
RegimeOrQuadrant = Literal["QUIET", "NORMAL", "TURBULENT", "CRISIS", "EXPANSION", "INFLATIONARY_TREND", "STAGNATION"]
AssetClass = Literal["equity", "etf", "index", "crypto", "forex", "futures"]
Cap = Annotated[float, Field(gt=0, le=1)]
EngineName = Literal["custom", "skfolio"]
RiskProfileName = Literal["equal_weight", "min_variance", "hrp", "risk_parity", "max_sharpe"]
Veto = Literal[
    "ADV_MISSING",
    "ASSET_VOL_HIGH",
    "CONSTANT_SERIES",
    "DATA_TOXIC",
    "DOMINATED_LEVERAGED",
    "ECI_HIGH",
    "EFFICIENCY_LOW",
    "ENTROPY_HIGH",
    "ENTROPY_TOXIC",
    "KURTOSIS_HIGH",
    "METADATA_MISSING",
    "MOMENTUM_GATE",
    "RANDOM_WALK",
    "ROC_EXTREME",
    "SHORT_HISTORY",
    "SHORT_UNBORROWABLE",
    "SPREAD_WIDE",
    "SURVIVAL_LOW",
    "TOXIC_PERSISTENCE",
    "TRACKING_POOR",
    "VOL_D_EXTREME",
    "WHITE_NOISE",
]

Factor = Literal[
    "adx",
    "antifragility",
    "cvar",
    "efficiency",
    "entropy",
    "hurst_clean",
    "kurtosis",
    "liquidity",
    "momentum",
    "skew",
    "stability",
    "survival",
]


def _no_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} stands there more than once")
    return values


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError("values that ascend were needed")
    return values


# The engine of the baselines, which no profile asks for by name.
BASELINE_ENGINE = "market"

# A list in which order may matter and repetition never does.
Distinct = AfterValidator(_no_repeats)


class Record(BaseModel):
    """A frozen record that rejects unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScannerReference(Record):
    """One scanner of a universe as it was when the run was resolved."""

    scanner_id: str
    strategy: str | None = Field(default=None, description="the named strategy of the profile that groups it")
    logic: Logic
    direction: Literal["LONG", "SHORT"]
    config_hash: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the resolved scanner")


# Keys that universes of scanners have; a static list is written without them.
_OF_SCANNERS = ("scanners", "forced_symbols", "anchor_symbols", "raw_pool_limit")


class UniverseSettings(Record):
    """Which atoms a run may choose from: a static list with one logic and direction, or what scanners found."""

    id: str = Field(description="name of the universe file under manifest/universes, or of the profile with scanners")
    scanner_id: str | None = Field(default=None, description="name under which candidates of the list are recorded")
    basis: Literal["pit", "static"] = Field(
        description="pit: the newest scan known at each decision; static: today's list applied to all history"
    )
    symbols: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="candidate symbols of the list, EXCHANGE:TICKER; empty where scanners find them"
    )
    landed_only: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="landed and judged, never candidates"
    )
    logic: Literal["buy_hold"] | None = Field(default=None, description="logic of every candidate of the list")
    direction: Literal["LONG", "SHORT", "LATE"] | None = Field(
        default=None,
        description="direction of every candidate of the list; LATE: the sign of its momentum at each decision",
    )
    scanners: tuple[ScannerReference, ...] = Field(default=(), description="who finds the candidates, in this order")
    forced_symbols: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="added again after the gates of the scanners; they still face the health gate"
    )
    anchor_symbols: Annotated[tuple[Symbol, ...], Distinct] = Field(
        default=(), description="symbols whose data have to be OK, or the run stops"
    )
    raw_pool_limit: Sessions | None = Field(
        default=None, description="candidates after consolidation at most, by own turnover"
    )

    @model_validator(mode="after")
    def _is_a_list_or_scanned(self) -> UniverseSettings:
        if self.scanners:
            stated = [name for name in ("scanner_id", "symbols", "logic", "direction") if getattr(self, name)]
            if stated:
                raise ValueError(f"universe has scanners, and states {', '.join(stated)} of a static list too")
            if self.raw_pool_limit is None:
                raise ValueError("universe.raw_pool_limit is not set; a universe of scanners needs one")
            return self
        missing = [name for name in ("scanner_id", "logic", "direction") if getattr(self, name) is None]
        if not self.symbols:
            raise ValueError("universe.symbols should have at least 1 item, or universe.scanners")
        if missing:
            raise ValueError(f"a static list needs {', '.join(f'universe.{name}' for name in missing)}")
        stated = [name for name in _OF_SCANNERS if getattr(self, name)]
        if stated:
            raise ValueError(f"{', '.join(f'universe.{name}' for name in stated)} need universe.scanners")
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return written if self.scanners else {key: value for key, value in written.items() if key not in _OF_SCANNERS}


class BarSettings(Record):
    """What the bars of the universe carry."""

    kind: Literal["ohlcv", "close_only"] = Field(description="close_only: open, high and low are NULL by declaration")
    volume: Literal["present", "absent"] = Field(description="absent: volume is NULL by declaration")


class WindowSet(Record):
    """Lengths of one family of walk-forward windows."""

    train: Sessions
    test: Sessions
    step: Sessions

    @model_validator(mode="after")
    def _leaves_no_holes(self) -> WindowSet:
        if self.step > self.test:
            raise ValueError(
                f"step {self.step} is longer than test {self.test}: sessions between them would belong to no window"
            )
        return self


class Exclusion(Record):
    """Combinations that are left out of the matrix: every cell that has all the dimensions stated here.

    Baselines have the engine `market` and their name as the risk profile.
    """

    selection_engine: str | None = None
    window_set: str | None = None
    rebalance_mode: str | None = None
    engine: str | None = None
    risk_profile: str | None = None
    simulator: str | None = None
    cost_model: str | None = None

    @model_validator(mode="after")
    def _states_something(self) -> Exclusion:
        if not self.stated:
            raise ValueError("an exclusion without a dimension would leave nothing; state at least one")
        return self

    @model_serializer
    def _as_stated(self) -> dict[str, str]:
        return self.stated

    @property
    def stated(self) -> dict[str, str]:
        """The dimensions that are stated, with their values."""
        return {name: value for name, value in self if value is not None}

    def matches(self, cell: Mapping[str, Any]) -> bool:
        """Whether `cell`, a mapping of dimensions, is left out."""
        return all(cell[name] == value for name, value in self.stated.items())


class MatrixSettings(Record):
    """Which cells are run: the product of these lists, plus the baselines, less what is excluded."""

    selection_engines: Annotated[tuple[Literal["baseline", "v3.2"], ...], Distinct] = Field(min_length=1)
    window_sets: Annotated[tuple[str, ...], Distinct] = Field(min_length=1)
    rebalance_modes: Annotated[tuple[Literal["window", "daily"], ...], Distinct] = Field(
        min_length=1,
        description="window: one trade at the decision close, then drift; daily: back to target at every close",
    )
    engines: Annotated[tuple[EngineName, ...], Distinct] = Field(min_length=1)
    risk_profiles: Annotated[tuple[RiskProfileName, ...], Distinct] = Field(min_length=1)
    simulators: Annotated[tuple[Literal["custom"], ...], Distinct] = Field(min_length=1)
    cost_models: Annotated[tuple[str, ...], Distinct] = Field(min_length=1)
    baselines: Annotated[tuple[Literal["market", "benchmark", "raw_pool_ew"], ...], Distinct] = Field(min_length=1)
    exclude: Annotated[tuple[Exclusion, ...], Distinct] = Field(
        default=(), description="combinations left out of the product; each must match at least one"
    )

    def combinations(self) -> Iterator[dict[str, str]]:
        """Yield the dimensions of every combination of the lists, baselines first, whether excluded or not."""
        kinds: list[tuple[str, str]] = [(BASELINE_ENGINE, name) for name in self.baselines]
        kinds += [(engine, name) for engine in self.engines for name in self.risk_profiles]
        for window_set, selection_engine, rebalance_mode, (engine, risk_profile), simulator, cost_model in product(
            self.window_sets, self.selection_engines, self.rebalance_modes, kinds, self.simulators, self.cost_models
        ):
            yield {
                "selection_engine": selection_engine,
                "window_set": window_set,
                "rebalance_mode": rebalance_mode,
                "engine": engine,
                "risk_profile": risk_profile,
                "simulator": simulator,
                "cost_model": cost_model,
            }

    def exclusion_of(self, combination: Mapping[str, Any]) -> Exclusion | None:
        """Return the first exclusion that leaves `combination` out, or None where it is run."""
        return next((exclusion for exclusion in self.exclude if exclusion.matches(combination)), None)

    @field_validator("exclude")
    @classmethod
    def _exclusions_match(cls, exclude: tuple[Exclusion, ...], info: ValidationInfo) -> tuple[Exclusion, ...]:
        # a list that is wrong itself is reported in its own name
        if set(info.data) < set(cls.model_fields) - {"exclude"}:
            return exclude
        everything = list(cls.model_construct(**info.data, exclude=exclude).combinations())
        for exclusion in exclude:
            if not any(exclusion.matches(one) for one in everything):
                raise ValueError(f"{exclusion.stated} matches no combination of the matrix")
        if all(any(exclusion.matches(one) for exclusion in exclude) for one in everything):
            raise ValueError("together they leave no combination of the matrix")
        return exclude


class Headline(Record):
    """The configuration that a profile states as its own; ranking is not affected."""

    selection_engine: str
    engine: str
    risk_profile: str


class CostModel(Record):
    """Trading and holding costs."""

    slippage_bps: Rate = Field(description="basis points of traded notional, per side")
    commission_bps: Rate = Field(description="basis points of traded notional, per side")
    borrow_annual: Rate = Field(description="fraction per year of short notional, accrued per session")

    @property
    def rate(self) -> float:
        """Cost per unit of traded notional."""
        return (self.slippage_bps + self.commission_bps) / 10_000.0


class GateSettings(Record):
    """Limits of the scoreboard. A cell passes a gate on the limit itself; bands are words for readers."""

    friction_decay: float = Field(
        description="largest 1 - net Sharpe / gross Sharpe; below 0.10 institutional, up to 0.30 acceptable"
    )
    temporal_fragility: Rate = Field(
        description="largest coefficient of variation of window ratios at `fragility_sessions` sessions a window; "
        "times max(1, sqrt(fragility_sessions / test)), because a shorter window's ratio is noisier; below 0.5 robust"
    )
    fragility_sessions: Sessions = Field(description="length of window at which temporal_fragility is stated")
    selection_jaccard: float = Field(description="least mean overlap of consecutive holdings; above 0.7 stable")
    af_dist: float = Field(description="least skew + log tail ratio; markets are near -0.55, from 0.25 on strong")
    stress_alpha: float = Field(description="least mean excess over the reference in its worst tenth, per session")
    turnover: Rate = Field(description="largest mean one-way turnover of a window; up to 0.25 low")
    cvar_mult: Rate = Field(description="largest daily tail loss, as a multiple of the market's")
    mdd_mult: Rate = Field(description="largest drawdown, as a multiple of the market's")
    commodity_mult: Rate = Field(description="cvar_mult and mdd_mult of a commodity sleeve")
    commodity_share: Fraction = Field(
        description="share of gross weight in commodities from which a book is a commodity sleeve"
    )
    parity_return_gap: Rate = Field(description="annual return gaps between simulators stay below it")
    parity_return_gap_commodity: Rate = Field(description="parity_return_gap of a commodity sleeve")
    parity_sharpe_gap: Rate = Field(description="largest Sharpe gap between simulators")
    parity_sharpe_share: Rate = Field(description="the Sharpe gap may also be this share of the Sharpe ratio")
    beta_min_variance: Rate = Field(
        description="largest beta of min_variance; informational for a long-only book of shares"
    )
    beta_market_neutral: Rate = Field(description="largest beta of market_neutral, in size")
    concentration: Rate = Field(description="largest cluster weight in any window")
    concentration_tolerance: Rate = Field(description="how far above the limit a cluster may be")
    solver_success: Fraction = Field(description="least share of accepted solves")
    duplicate_correlation: Fraction = Field(
        description="correlation of net returns above which two configurations are one portfolio and share a rank"
    )
    promotable_sessions: Sessions = Field(description="least stitched sessions of a promotable cell")
    promotable_windows: Sessions = Field(description="least windows of a promotable cell")


class RegimeSettings(Record):
    """Where the regime of a window comes from."""

    basis: Literal["declared", "measured"] = Field(
        description="declared: every window carries `label`; measured: the newest row of features.market_regimes that"
        " was known at the decision"
    )
    label: Regime | None = Field(default=None, description="the label where the basis is declared; else not read")
    asset_class: AssetClass | None = Field(
        default=None, description="whose market is measured where the basis is measured; else not read"
    )
    thresholds: Literal["fixed", "quantile"] = Field(
        description="fixed: labels by the limits that noise implies; quantile: by the 20, 80 and 95 % quantiles of the"
        " class's own scores so far, fixed until there are 252"
    )

    @model_validator(mode="after")
    def _names_its_source(self) -> RegimeSettings:
        needed = "label" if self.basis == "declared" else "asset_class"
        if getattr(self, needed) is None:
            raise ValueError(f"basis {self.basis} needs regime.{needed}, which is not set")
        return self


class AllocationSettings(Record):
    """Estimators, clusters, caps, penalties and the solver ladder of the allocation stage."""

    covariance: Literal["ledoit_wolf", "sample"]
    estimation_window: Annotated[int, Field(ge=2)] | Literal["train"] | None = Field(
        default=None, description="rows of the risk estimators; null: max(train, 120); train: the training rows alone"
    )
    mean_window: Sessions
    mean_rows_min: Sessions = Field(default=60, description="least estimation rows of a profile that reads the mean")
    risk_free_annual: float = Field(default=0.0, description="fraction per year that cash earns")
    correlation_shrinkage: tuple[Fraction, ...] = Field(min_length=1, description="the ladder of epsilon, ascending")
    variance_floor: Rate = Field(description="added to the diagonal, as a fraction of the mean variance")
    kappa_max: float = Field(
        gt=1, allow_inf_nan=False, description="largest condition number of the shrunk correlation"
    )
    cluster_mode: Literal["ward", "none"]
    cluster_lookbacks: tuple[Sessions, ...] = Field(min_length=1)
    cluster_cut: dict[Regime, Fraction]
    max_clusters: Sessions
    cluster_cap: Cap
    regime_caps: dict[Regime, Cap]
    asset_cap: Cap
    cap_policy: Literal["relax", "cash", "fail"]
    intra_mode: Literal["blend", "inverse_variance", "inverse_vol", "equal"]
    intra_alpha: Fraction
    momentum_window: Sessions
    l2_gamma: dict[RegimeOrQuadrant, Rate] = Field(description="relative ridge by regime label or quadrant")
    l2_floor_max_sharpe: Rate = Field(default=0.10, description="least relative ridge of max_sharpe")
    sharpe_max: float = Field(
        default=10.0, gt=0, description="in-sample Sharpe ratio above which max_sharpe is solved with more shrinkage"
    )
    hrp_variant: Literal["product", "lopez_de_prado"] = Field(
        default="product", description="product: Ward and optimal leaf order; lopez_de_prado: single and plain order"
    )
    volatility_bands: dict[RiskProfileName, Rate] = Field(
        default={}, description="ex-ante annual volatility above which a window is flagged; an alarm, not a target"
    )
    fragility: Rate = Field(description="lambda_f, weight of the relative CVaR term")
    turnover_penalty: bool
    turnover_cost_model: str = Field(description="the cost model that prices turnover in the penalty")
    cvar_beta: float = Field(gt=0, lt=1)
    toxic_return: float = Field(gt=0)
    min_coverage: Fraction = Field(description="least share of estimation rows an atom must have")
    max_missing: Fraction = Field(description="largest share of estimation rows an atom may miss")
    min_rows: Sessions = Field(description="least rows of a risk estimate")
    health_min: Fraction = Field(description="least solver health of a configuration")

    @field_validator("correlation_shrinkage")
    @classmethod
    def _ladder_ascends(cls, ladder: tuple[float, ...]) -> tuple[float, ...]:
        return _ascending(ladder)


class QualitySettings(Record):
    """How strictly the quality gate stands between the data and the selection."""

    gate: Literal["strict", "raw_pool", "report"] = Field(
        description="strict: any failing rule that is no mere warning stops the run; raw_pool: broken contracts stop"
        " it, missing and toxic symbols are left out and reported, others pass with a tag; report: nothing stops,"
        " everything is recorded"
    )


class SimulationSettings(Record):
    """What the simulator does beside trading."""

    short_isolation: bool
    delist_after: Sessions = Field(description="consecutive missing sessions after which a holding is closed")
    delist_haircut: Fraction
    starting_nav: float = Field(gt=0)
    bankrupt_below: Fraction = Field(description="share of the starting NAV below which the book goes to cash")


class MetadataDefaults(Record):
    """What the instruments of one asset class trade in where their own metadata do not say; null: no default."""

    tick_size: Annotated[float, Field(gt=0)] | None = None
    lot_size: Annotated[float, Field(gt=0)] | None = None
    price_precision: Annotated[int, Field(ge=0)] | None = None


class VetoLimits(Record):
    """Limits of the vetoes that profiles rarely touch; those that they do stand in the selection itself."""

    toxic_return: float = Field(gt=0, description="DATA_TOXIC above this absolute simple return")
    constant_deviation: Rate = Field(description="CONSTANT_SERIES below this standard deviation per session")
    survival_min: Fraction = Field(description="SURVIVAL_LOW below this share of stress events survived")
    entropy_toxic: Fraction = Field(description="ENTROPY_TOXIC above this permutation entropy")
    kurtosis_max: float = Field(description="KURTOSIS_HIGH above this excess kurtosis")
    kurtosis_observations: Sessions = Field(description="KURTOSIS_HIGH needs this many observations")
    volatility_annual_max: float = Field(gt=0, description="ASSET_VOL_HIGH above this annual volatility")
    roc_max: float = Field(description="ROC_EXTREME above this rate of change, percent")
    roc_min: float = Field(description="ROC_EXTREME below this rate of change, percent")
    persistence_hurst: Fraction = Field(description="TOXIC_PERSISTENCE above this Hurst exponent")
    spread_max: Rate = Field(description="SPREAD_WIDE above this estimated spread, fraction of the price")
    white_noise_p: Fraction = Field(description="WHITE_NOISE from this p-value of Ljung and Box on")
    leverage_correlation: float = Field(gt=0, le=1, description="DOMINATED_LEVERAGED from this correlation on")
    leverage_beta: float = Field(gt=1, description="DOMINATED_LEVERAGED from this absolute beta on")


class SelectionSettings(Record):
    """What the scored engines read; `baseline` takes every candidate and reads `history_floor` and the clusters."""

    history_floor: Sessions = Field(description="accepted returns an atom needs at the decision")

    # scores
    strategy: Literal["trend_following", "mean_reversion"] = Field(description="which regime and Hurst exponent fit")
    ranker: Literal["alpha_score"] = Field(description="what orders the members of a cluster")
    factor_weights: dict[Literal["global_robust"], dict[Factor, Rate]] = Field(
        description="vectors of weights by name; a factor that a vector leaves out weighs 0"
    )
    weights_override: dict[Factor, Rate] = Field(
        default_factory=dict, description="weights that replace those of every vector"
    )
    dominant_signal: Factor | None = Field(
        default=None, description="a factor that gets weight 3, and momentum then 0.5 unless it is momentum"
    )
    liquidity_base: float = Field(gt=0, description="daily traded value from which liquidity is 1")
    regime_fit: bool = Field(description="multiply scores by how well the asset fits strategy and regime")

    # recruitment
    top_n: Sessions = Field(description="most winners per cluster and direction")
    recruitment: Literal["fixed", "dynamic"] = Field(description="dynamic: fewer from clusters that move as one")
    allow_short: bool

    # clusters
    threshold_mode: Literal["regime", "fixed"] = Field(
        description="regime: allocation.cluster_cut of the regime times cluster_threshold / 0.5; fixed: the threshold"
    )
    cluster_threshold: Fraction
    cluster_lookbacks: Annotated[tuple[Annotated[int, Field(ge=30)], ...], Distinct] = Field(
        min_length=1, description="sessions per look-back; below 30 most pairs have too few sessions in common"
    )
    cluster_min_periods: Annotated[int, Field(ge=3)] = Field(description="least shared sessions of a pair")
    cluster_shrinkage: tuple[Fraction, ...] = Field(min_length=1, description="the ladder of lambda, ascending")
    kappa_max: float = Field(gt=1, allow_inf_nan=False, description="largest condition number of a correlation")
    max_clusters: Sessions

    # vetoes
    entropy_max: Fraction
    efficiency_min: Fraction
    hurst_min: Fraction | None = Field(default=None, description="lower end of the band of random walks")
    hurst_max: Fraction | None = Field(default=None, description="upper end of the band of random walks")
    min_momentum: float = Field(description="least oriented return over 60 sessions")
    stressed_momentum_step: Rate = Field(description="added to min_momentum of a LONG in CRISIS and TURBULENT")
    eci_mode: Literal["holding", "annual"] = Field(description="holding: one trade; annual: every rebalance of a year")
    eci_hurdle: float = Field(description="ECI_HIGH where annual momentum less costs is below")
    eci_order_value: float = Field(gt=0, description="value of the order that is priced")
    eci_turnover: Fraction = Field(description="share of the book traded at a rebalance, in mode annual")
    limits: VetoLimits
    metadata_defaults: dict[AssetClass, MetadataDefaults]
    optional_vetoes: Annotated[tuple[Literal["WHITE_NOISE"], ...], Distinct] = Field(
        default=(), description="veto codes that are off unless named here"
    )
    inert_vetoes: Annotated[tuple[Veto, ...], Distinct] = Field(
        description="veto codes that are off and recorded as inert"
    )

    @field_validator("cluster_shrinkage")
    @classmethod
    def _ladder_ascends(cls, ladder: tuple[float, ...]) -> tuple[float, ...]:
        return _ascending(ladder)

    @model_validator(mode="after")
    def _limits_fit_together(self) -> SelectionSettings:
        if (self.hurst_min is None) != (self.hurst_max is None):
            raise ValueError("selection.hurst_min and selection.hurst_max are set together or not at all")
        if self.hurst_min is not None and self.hurst_max is not None and self.hurst_min >= self.hurst_max:
            raise ValueError(f"the Hurst band is empty: hurst_min {self.hurst_min} is not below {self.hurst_max}")
        if self.limits.roc_min >= self.limits.roc_max:
            raise ValueError(f"limits.roc_min {self.limits.roc_min} is not below roc_max {self.limits.roc_max}")
        return self


SourceName = Literal["tradingview", "binance", "binance_bulk", "yahoo"]
InterfaceName = Literal[
    "tradingview_scanner",
    "tradingview_socket",
    "binance_spot",
    "binance_usdm",
    "binance_coinm",
    "binance_bulk",
    "yahoo",
]


class AcquisitionSettings(Record):
    """How the data cycle of a profile meets the outside world. No part of a run: it changes no run id."""

    clock: Literal["wall", "request"] = Field(
        description="wall: now is now; request: the profile's as_of, sent with each request, for simulated venues"
    )
    bar_sources: Annotated[tuple[SourceName, ...], Distinct] = Field(
        min_length=1, description="sources of bars in order of priority; the later ones corroborate and repair"
    )
    addresses: dict[InterfaceName, str] = Field(
        default={}, description="base addresses that replace those of manifest/sources, by interface"
    )
    has_rating_history: bool = Field(
        description="whether bars reach back 1,600 sessions, as warm ratings need, or only the look-back and a margin"
    )
    has_total_return: bool = Field(description="whether closes adjusted for dividends are fetched beside the prices")
    repair_seconds: Annotated[int, Field(gt=0)] = Field(
        description="time of one repair or recovery; whom it does not come to is first in the next one"
    )
    feature_timeframes: Annotated[tuple[Timeframe, ...], Distinct] = Field(
        description="timeframes that the vendor's features are asked for"
    )


class Settings(Record):
    """Everything a run was asked to do."""

    profile: str
    description: str
    as_of: datetime = Field(description="decisions and data stop at the last session that closed by then, UTC")
    calendar_id: Literal["XNYS", "24/7"]
    periods_per_year: Literal[252, 365]
    lookback_sessions: Sessions = Field(description="sessions of the grid, counted back from as_of on the calendar")
    revision_policy: Literal["latest"]
    universe: UniverseSettings
    benchmarks: Annotated[tuple[Symbol, ...], Distinct] = Field(
        min_length=1, description="symbols of the market baseline"
    )
    benchmark_note: str = Field(default="", description="what a reader must know of the benchmark, shown on pages")
    bars: BarSettings
    quality: QualitySettings
    windows: dict[str, WindowSet]
    matrix: MatrixSettings
    headline: Headline
    anchors: Annotated[tuple[RiskProfileName, ...], Distinct] = Field(
        default=(), description="risk profiles shown beside the headline, of its engine; ranking is not affected"
    )
    max_winners: Sessions | None = Field(
        default=None, description="winners of a window at most; a universe of scanners states it"
    )
    locked: Annotated[tuple[str, ...], Distinct] = Field(
        default=(), description="dotted keys, or beginnings of them, that no environment and no command line changes"
    )
    required_simulators: Annotated[tuple[Literal["custom"], ...], Distinct]
    tier: Literal["smoke", "strict", "promotable"]
    cost_models: dict[str, CostModel]
    regime: RegimeSettings
    selection: SelectionSettings
    allocation: AllocationSettings
    simulation: SimulationSettings
    gates: GateSettings
    seed: int = Field(ge=0)

    @model_serializer(mode="wrap")
    def _as_stated(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write what only profiles with scanners state where it is stated."""
        written: dict[str, Any] = handler(self)
        optional = ("anchors", "max_winners", "locked")
        return {key: value for key, value in written.items() if key not in optional or getattr(self, key)}

    @model_validator(mode="after")
    def _names_resolve(self) -> Settings:
        if self.universe.scanners and self.max_winners is None:
            raise ValueError("max_winners is not set; a universe of scanners needs it")
        for anchor in self.anchors:
            if anchor not in self.matrix.risk_profiles:
                raise ValueError(f"anchors names '{anchor}', which is not in matrix.risk_profiles")
        for name in self.matrix.window_sets:
            if name not in self.windows:
                raise ValueError(f"matrix.window_sets names '{name}', but windows has {', '.join(self.windows)}")
        for name in (*self.matrix.cost_models, self.allocation.turnover_cost_model):
            if name not in self.cost_models:
                raise ValueError(f"the cost model '{name}' is named, but cost_models has {', '.join(self.cost_models)}")
        for name in self.matrix.window_sets:
            lengths = self.windows[name]
            if self.lookback_sessions < lengths.train + lengths.test:
                raise ValueError(
                    f"lookback_sessions is {self.lookback_sessions}, but a window of '{name}' needs"
                    f" {lengths.train + lengths.test}: train {lengths.train} + test {lengths.test}"
                )
            if lengths.step != lengths.test:
                raise ValueError(
                    f"window set '{name}' steps {lengths.step} sessions and tests {lengths.test}: windows that overlap"
                    f" are not judged yet; set windows.{name}.step to its test"
                )
        if self.headline.selection_engine not in self.matrix.selection_engines:
            raise ValueError(
                f"headline.selection_engine '{self.headline.selection_engine}' is not in matrix.selection_engines"
            )
        if self.headline.engine not in self.matrix.engines:
            raise ValueError(f"headline.engine '{self.headline.engine}' is not in matrix.engines")
        if self.headline.risk_profile not in self.matrix.risk_profiles:
            raise ValueError(f"headline.risk_profile '{self.headline.risk_profile}' is not in matrix.risk_profiles")
        if self.tier == "promotable" and self.quality.gate != "strict":
            raise ValueError(f"quality.gate is '{self.quality.gate}'; what may be promoted runs under strict")
        wanted = self.headline.model_dump()
        if not any(one | wanted == one and not self.matrix.exclusion_of(one) for one in self.matrix.combinations()):
            raise ValueError(f"matrix.exclude leaves no cell of the headline {' + '.join(wanted.values())}")
        sessions = 365 if self.calendar_id == "24/7" else 252
        if self.periods_per_year != sessions:
            raise ValueError(f"periods_per_year is {self.periods_per_year}; calendar {self.calendar_id} has {sessions}")
        if self.as_of.tzinfo is None:
            raise ValueError("as_of has no time zone; write it like 2022-12-28T22:00:00Z")
        return self
