-- One row per symbol, dividend or split and day it acts on: by how much it lifts a total return, from which session on.
with actions as (

    select
        actions.symbol,
        actions.action,
        {{ session_date('actions.acts_at_utc', 'symbols.asset_class', 'symbols.timezone') }} as acts_on,
        actions.amount,
        actions.ratio,
        cast(actions.received_at_utc as date) as received_on
    from {{ ref('stg_corporate_actions') }} as actions
    inner join {{ ref('symbols') }} as symbols on actions.symbol = symbols.symbol and symbols.valid_to is null
    -- who states an action again means the later word
    qualify row_number() over (
        partition by actions.symbol, actions.action, acts_on
        order by actions.received_at_utc desc, actions.load_id desc, actions.row_number desc
    ) = 1

),

-- a symbol with a landed total-return series needs none that is made of prices
landed as (

    select distinct symbol
    from {{ ref('bar_verdicts') }}
    where
        verdict = 'ACCEPTED'
        and adjustment = 'total_return'
        and symbol in (select actions.symbol from actions)

),

-- the bar that stands for each session, as in session_bars
bars as (

    select
        symbol,
        session_date,
        min_by(adjustment, case adjustment when 'splits' then 1 else 2 end) as adjustment,
        min_by(close, case adjustment when 'splits' then 1 else 2 end) as close,
        min_by(received_at_utc, case adjustment when 'splits' then 1 else 2 end) as received_at_utc
    from {{ ref('bar_verdicts') }}
    where
        verdict = 'ACCEPTED'
        and adjustment <> 'total_return'
        and symbol in (select actions.symbol from actions)
    group by symbol, session_date

),

-- a day without a bar acts on the next one: its return reaches back over that day
placed as (

    select
        actions.*,
        bars.session_date,
        bars.adjustment,
        bars.close,
        -- the day by whose shares the price is counted
        case bars.adjustment
            when 'none' then bars.session_date
            else cast(bars.received_at_utc as date)
        end as unit_date
    from actions
    asof left join bars on actions.symbol = bars.symbol and actions.acts_on <= bars.session_date

),

splits as (

    select *
    from actions
    where action = 'split' and ratio > 0

),

-- an amount is per share of the day it was received on: brought to the shares of the price
counted as (

    select
        placed.symbol,
        placed.action,
        placed.acts_on,
        any_value(placed.amount)
        * coalesce(product(splits.ratio order by splits.acts_on) filter (
            where splits.acts_on > placed.unit_date and splits.acts_on <= placed.received_on
        ), 1)
        / coalesce(product(splits.ratio order by splits.acts_on) filter (
            where splits.acts_on > placed.received_on and splits.acts_on <= placed.unit_date
        ), 1) as amount,
        any_value(placed.ratio) as ratio,
        any_value(placed.session_date) as session_date,
        any_value(placed.adjustment) as adjustment,
        any_value(placed.close) as close
    from placed
    left join splits on placed.symbol = splits.symbol
    group by placed.symbol, placed.action, placed.acts_on

),

final as (

    select
        -- keys
        counted.symbol,
        counted.acts_on,
        counted.action,

        -- where it acts, first match
        counted.session_date,
        case
            when landed.symbol is not null then 'TOTAL_RETURN_LANDED'
            when counted.session_date is null then 'NO_BAR_YET'
            when not coalesce(coalesce(counted.amount, counted.ratio) > 0, false) then 'NOT_POSITIVE'
            when counted.action = 'split' and counted.adjustment = 'splits' then 'IN_THE_PRICE'
            else 'COUNTED'
        end as status,

        -- what it does: (close + amount) / close for a dividend, new shares for an old one for a split
        counted.amount,
        counted.ratio,
        case
            when status <> 'COUNTED' then 1.0
            when counted.action = 'split' then counted.ratio
            else 1 + counted.amount / counted.close
        end as growth

    from counted
    left join landed on counted.symbol = landed.symbol

)

select * from final
order by symbol, acts_on, action
