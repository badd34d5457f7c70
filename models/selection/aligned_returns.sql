-- One row per symbol and session of the run's calendar with a close at it: the return since its close before on that
-- calendar, in dollars. What happened on sessions in between (a weekend of coins) is compounded into it, never dropped.
with calendar as (

    select session_date
    from {{ ref('market_calendar') }}
    where calendar_id = {{ setting('calendar_id') }}

),

returns as (

    select
        returns.symbol,
        returns.session_date,
        returns.base_return,
        calendar.session_date is not null as is_on_calendar
    from {{ ref('base_returns') }} as returns
    left join calendar on returns.session_date = calendar.session_date

),

common as (

    select * from returns
    where is_on_calendar

),

between_them as (

    select
        returns.symbol,
        common.session_date,
        product(1 + returns.base_return order by returns.session_date) as growth,
        count(*) as session_count,
        bool_or(returns.base_return is null) as is_unknown
    from returns
    asof inner join common on returns.symbol = common.symbol and returns.session_date <= common.session_date
    where not returns.is_on_calendar
    group by all

),

compounded as (

    select
        common.symbol,
        common.session_date,
        case
            when between_them.session_count is null then common.base_return
            when not between_them.is_unknown then between_them.growth * (1 + common.base_return) - 1
        end as simple_return,
        coalesce(between_them.session_count, 0) as compounded_sessions
    from common
    left join between_them
        on common.symbol = between_them.symbol and common.session_date = between_them.session_date

),

final as (

    select * from compounded
    where simple_return is not null

)

select * from final
