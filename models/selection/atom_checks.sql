-- One row per window, atom and active check that needs no cluster: the metric, its limit and whether it is breached.
with limits as (

    select
        {{ setting('periods_per_year', 'double') }} as periods_per_year,
        {{ setting('selection.history_floor', 'double') }} as history_floor,
        {{ setting('selection.entropy_max', 'double') }} as entropy_max,
        {{ setting('selection.efficiency_min', 'double') }} as efficiency_min,
        {{ setting('selection.hurst_min', 'double') }} as hurst_min,
        {{ setting('selection.hurst_max', 'double') }} as hurst_max,
        {{ setting('selection.min_momentum', 'double') }} as min_momentum,
        {{ setting('selection.stressed_momentum_step', 'double') }} as stressed_momentum_step,
        {{ setting('selection.eci_mode') }} as eci_mode,
        {{ setting('selection.eci_order_value', 'double') }} as eci_order_value,
        {{ setting('selection.eci_turnover', 'double') }} as eci_turnover,
        {{ setting('selection.limits.toxic_return', 'double') }} as toxic_return,
        {{ setting('selection.limits.constant_deviation', 'double') }} as constant_deviation,
        {{ setting('selection.limits.survival_min', 'double') }} as survival_min,
        {{ setting('selection.limits.entropy_toxic', 'double') }} as entropy_toxic,
        {{ setting('selection.limits.kurtosis_max', 'double') }} as kurtosis_max,
        {{ setting('selection.limits.kurtosis_observations', 'integer') }} as kurtosis_observations,
        {{ setting('selection.limits.volatility_annual_max', 'double') }} as volatility_annual_max,
        {{ setting('selection.limits.roc_max', 'double') }} as roc_max,
        {{ setting('selection.limits.roc_min', 'double') }} as roc_min,
        {{ setting('selection.limits.persistence_hurst', 'double') }} as persistence_hurst,
        {{ setting('selection.limits.spread_max', 'double') }} as spread_max,
        {{ setting('selection.limits.white_noise_p', 'double') }} as white_noise_p,
        -- a hurdle above what the momentum gate lets pass would be the gate itself
        least(
            {{ setting('selection.eci_hurdle', 'double') }},
            case
                when {{ setting('selection.min_momentum', 'double') }} < 0
                    then {{ setting('selection.min_momentum', 'double') }} - 0.05
            end
        ) as eci_hurdle

),

-- costs of trading are those of the cost model in force
costs as (

    select
        sum(cast(stated.value as double)) filter (where not ends_with(stated.key, 'borrow_annual')) / 10000 as rate,
        sum(cast(stated.value as double)) filter (where ends_with(stated.key, 'borrow_annual')) as borrow_annual
    from {{ ref('calc_settings') }} as stated
    where starts_with(stated.key, 'cost_models.' || {{ setting('allocation.turnover_cost_model') }} || '.')

),

measures as (

    select
        measures.*,
        limits.*,
        measures.volatility_annual / sqrt(limits.periods_per_year) as deviation,
        cast(coalesce(measures.tick_size, defaults.tick_size, 0) <= 0 as integer)
        + cast(coalesce(measures.lot_size, defaults.lot_size, 0) <= 0 as integer)
        + cast(coalesce(measures.price_precision, defaults.price_precision, -1) < 0 as integer)
            as missing_metadata_count,
        sqrt(limits.eci_order_value / nullif(greatest(measures.average_daily_value, 0), 0)) as root_share,
        case measures.direction when 'SHORT' then costs.borrow_annual else 0 end as borrow,
        costs.rate as cost_rate,
        limits.min_momentum
        + case
            when measures.direction = 'LONG' and measures.regime in ('CRISIS', 'TURBULENT')
                then limits.stressed_momentum_step
            else 0
        end as momentum_floor
    from {{ ref('atom_measures') }} as measures
    left join {{ ref('metadata_defaults') }} as defaults on measures.asset_class = defaults.asset_class
    cross join limits
    cross join costs

),

priced as (

    select
        *,
        momentum - borrow - case eci_mode
            when 'annual'
                then
                    2 * eci_turnover * (periods_per_year / step_count)
                    * (0.8 * deviation * root_share + cost_rate)
            else volatility_annual * root_share
        end as momentum_less_costs
    from measures

),

-- strong momentum may cost a quarter more
relieved as (

    select
        *,
        momentum > 1.0 and momentum_less_costs >= 0.75 * eci_hurdle as has_relief
    from priced

),

checked as (

    select
        run_id,
        window_set,
        window_index,
        atom_id,
        is_benchmark,
        unnest([
            {
                'code': 'DATA_TOXIC',
                'metric_value': largest_absolute_return,
                'limit_value': toxic_return,
                'is_breached': largest_absolute_return > toxic_return
            },
            {
                'code': 'SHORT_HISTORY',
                'metric_value': cast(return_count as double),
                'limit_value': history_floor,
                'is_breached': return_count < history_floor
            },
            {
                'code': 'CONSTANT_SERIES',
                'metric_value': deviation,
                'limit_value': constant_deviation,
                'is_breached': deviation < constant_deviation
            },
            {
                'code': 'METADATA_MISSING',
                'metric_value': cast(missing_metadata_count as double),
                'limit_value': 0.0,
                'is_breached': missing_metadata_count > 0
            },
            {
                'code': 'SURVIVAL_LOW',
                'metric_value': survival,
                'limit_value': survival_min,
                'is_breached': survival < survival_min
            },
            {
                'code': 'ENTROPY_TOXIC',
                'metric_value': entropy,
                'limit_value': entropy_toxic,
                'is_breached': entropy > entropy_toxic
            },
            {
                'code': 'KURTOSIS_HIGH',
                'metric_value': case when observation_count >= kurtosis_observations then excess_kurtosis end,
                'limit_value': kurtosis_max,
                'is_breached': observation_count >= kurtosis_observations and excess_kurtosis > kurtosis_max
            },
            {
                'code': 'ASSET_VOL_HIGH',
                'metric_value': volatility_annual,
                'limit_value': volatility_annual_max,
                'is_breached': volatility_annual > volatility_annual_max
            },
            {
                'code': 'ROC_EXTREME',
                'metric_value': roc,
                'limit_value': case when roc < 0 then roc_min else roc_max end,
                'is_breached': roc > roc_max or roc < roc_min
            },
            {
                'code': 'ADV_MISSING',
                'metric_value': coalesce(average_daily_value, 0),
                'limit_value': 0.0,
                'is_breached': coalesce(average_daily_value, 0) <= 0
            },
            {
                'code': 'ENTROPY_HIGH',
                'metric_value': entropy,
                'limit_value': entropy_max,
                'is_breached': entropy > entropy_max
            },
            {
                'code': 'EFFICIENCY_LOW',
                'metric_value': efficiency,
                'limit_value': efficiency_min,
                'is_breached': efficiency < efficiency_min
            },
            {
                'code': 'RANDOM_WALK',
                'metric_value': hurst,
                'limit_value': case when hurst < 0.5 then hurst_min else hurst_max end,
                'is_breached': hurst > hurst_min and hurst < hurst_max
            },
            {
                'code': 'TOXIC_PERSISTENCE',
                'metric_value': case when momentum is not null then hurst end,
                'limit_value': persistence_hurst,
                'is_breached': hurst > persistence_hurst and momentum < 0
            },
            {
                'code': 'ECI_HIGH',
                'metric_value': momentum_less_costs,
                'limit_value': eci_hurdle,
                'is_breached': momentum_less_costs < eci_hurdle and not has_relief
            },
            {
                'code': 'SPREAD_WIDE',
                'metric_value': spread,
                'limit_value': spread_max,
                'is_breached': spread > spread_max
            },
            {
                'code': 'MOMENTUM_GATE',
                'metric_value': compounded_60,
                'limit_value': momentum_floor,
                'is_breached': compounded_60 < momentum_floor
            },
            {
                'code': 'WHITE_NOISE',
                'metric_value': ljung_box_p,
                'limit_value': white_noise_p,
                'is_breached': ljung_box_p >= white_noise_p
            }
        ]) as item
    from relieved

),

final as (

    select
        -- keys
        checked.run_id,
        checked.window_set,
        checked.window_index,
        checked.atom_id,
        checked.item.code as code,

        -- the check
        active.severity,
        active.is_data_check,
        checked.item.metric_value as metric_value,
        checked.item.limit_value as limit_value,
        coalesce(checked.item.is_breached, false) as is_fired,

        -- a benchmark is exempt from what may be relaxed
        case when checked.is_benchmark and active.severity = 'soft' and checked.item.is_breached then 'BENCHMARK' end
            as overridden_by

    from checked
    inner join {{ ref('active_vetoes') }} as active on checked.item.code = active.code
    where active.is_active

)

select * from final
order by window_set, window_index, atom_id, code
