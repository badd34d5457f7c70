-- One row per symbol and session: the accepted bar, its dividend-adjusted close beside its price where both are known.
with accepted as (

    select verdicts.*
    from {{ ref('bar_verdicts') }} as verdicts
    {% if is_incremental() %}
        inner join {{ pending('session_bars') }} as changes
            on verdicts.symbol = changes.symbol and verdicts.session_date >= changes.first_changed_date
    {% endif %}
    where verdicts.verdict = 'ACCEPTED'

),

-- most symbols are landed in one adjustment, and each of their accepted values is a bar
mixed as (

    select symbol
    from accepted
    group by symbol
    having min(adjustment) <> max(adjustment)

),

-- a symbol may be landed both as a price and as a total-return series; the price series, where there is one, is the bar
merged as (

    select
        symbol,
        session_date,
        arg_min(accepted, case adjustment when 'splits' then 1 when 'none' then 2 else 3 end) as bar,
        max(case when adjustment = 'total_return' then close end) as total_return_close,
        max(case when adjustment = 'total_return' then source end) as total_return_source,
        bool_or(is_late_revision) as is_late_revision
    from accepted
    where symbol in (select mixed.symbol from mixed)
    group by symbol, session_date

),

bars as (

    select
        accepted.*,
        case when adjustment = 'total_return' then close end as total_return_close,
        case when adjustment = 'total_return' then source end as total_return_source
    from accepted
    where symbol not in (select mixed.symbol from mixed)
    union all by name
    select
        bar.* replace (is_late_revision as is_late_revision),
        total_return_close,
        total_return_source
    from merged

),

-- dividends of symbols without a landed total return: what one share grows to when they are reinvested at the close.
-- Growth starts with the first bar, so that a later dividend changes no earlier value
growths as (

    select
        symbol,
        session_date,
        product(growth) over (
            partition by symbol order by session_date rows between unbounded preceding and current row
        ) as growth
    from (
        select
            symbol,
            session_date,
            product(growth order by acts_on, action) as growth
        from {{ ref('action_effects') }}
        where status <> 'TOTAL_RETURN_LANDED' and session_date is not null
        group by symbol, session_date
        union all
        select distinct
            symbol,
            date '0001-01-01' as session_date,
            1.0 as growth
        from {{ ref('action_effects') }}
        where status <> 'TOTAL_RETURN_LANDED'
    )

),

grown as (

    select
        bars.* replace (
            bars.close * growths.growth as total_return_close,
            'dividends on ' || bars.adjustment as total_return_source
        )
    from bars
    asof inner join growths on bars.symbol = growths.symbol and bars.session_date >= growths.session_date
    union all by name
    select bars.*
    from bars
    where bars.symbol not in (select growths.symbol from growths)

),

final as (

    select
        -- keys
        symbol,
        session_date,

        -- prices
        open,
        high,
        low,
        close,
        adjustment as close_adjustment,
        total_return_close,
        total_return_source,

        -- volumes
        volume,
        coalesce(quote_volume, volume * close) as turnover,

        -- where it came from
        source,
        load_id,
        landed_symbol,
        is_late_revision,

        -- place and time
        calendar_id,
        session_number,
        close_utc as known_at_utc

    from grown

)

select * from final
order by symbol, session_date
