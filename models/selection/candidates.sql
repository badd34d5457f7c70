-- One row per window, scanner and atom: what the run could choose from, and what held a candidate back.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

listed as (

    select
        item as symbol,
        position
    from {{ setting_list('universe.symbols') }}

),

history as (

    select
        windows.window_set,
        windows.window_index,
        listed.symbol,
        listed.position,
        count(daily_returns.session_date) as return_count
    from windows
    cross join listed
    left join {{ ref('daily_returns') }} as daily_returns
        on
            listed.symbol = daily_returns.symbol
            and windows.decision_date >= daily_returns.session_date
    group by all

),

-- nothing is looked up where no direction is open
factors as (

    select
        symbol,
        known_at_utc,
        compounded_60
    from {{ ref('factor_history') }}
    where factor_set = 'daily_252' and {{ setting('universe.direction') }} = 'LATE'

),

-- discovery's intent wins; where it leaves the direction open, the momentum at the decision gives it
directed as (

    select
        history.*,
        case
            when {{ setting('universe.direction') }} <> 'LATE' then {{ setting('universe.direction') }}
            when factors.compounded_60 < 0 then 'SHORT'
            else 'LONG'
        end as direction
    from history
    inner join windows
        on history.window_set = windows.window_set and history.window_index = windows.window_index
    asof left join factors
        on history.symbol = factors.symbol and windows.decision_close_utc >= factors.known_at_utc

),

judged as (

    select
        history.*,
        windows.run_id,
        coalesce(health.verdict, 'MISSING') as verdict,
        coalesce(health.verdict, 'MISSING') = 'OK' as is_healthy,
        coalesce(gaps.run_length, 0) as sessions_behind,
        -- who has traded no more for so long is gone: a strict run calls him stale, the others need a word of their own
        {{ setting('quality.gate') }} <> 'strict'
        and coalesce(health.verdict, 'MISSING') = 'STALE'
        and coalesce(gaps.run_length, 0) > {{ setting('simulation.delist_after', 'integer') }} as is_delisted,
        history.return_count >= {{ setting('selection.history_floor', 'integer') }} as is_old_enough
    from directed as history
    inner join windows
        on history.window_set = windows.window_set and history.window_index = windows.window_index
    left join {{ ref('symbol_health') }} as health
        on history.symbol = health.symbol and windows.decision_date = health.as_of_date
    left join {{ ref('bar_gaps') }} as gaps
        on history.symbol = gaps.symbol and windows.decision_date = gaps.session_date

),

-- what a verdict costs: missing and toxic data are out under every gate, stale ones under the strict one alone
gated as (

    select
        *,
        case
            when is_delisted then 'DELISTED'
            when verdict in ('MISSING', 'TOXIC') then verdict
            when verdict = 'STALE' and {{ setting('quality.gate') }} = 'strict' then verdict
            when not is_old_enough then 'SHORT_HISTORY'
        end as drop_reason
    from judged

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        {{ setting('universe.scanner_id') }} as scanner_id,
        {{ atom_id('symbol', setting('universe.logic'), 'direction') }} as atom_id,

        -- the atom
        symbol,
        {{ setting('universe.logic') }} as logic,
        direction,
        case {{ setting('universe.direction') }} when 'LATE' then 'LATE' else 'DISCOVERY' end as direction_source,

        -- the verdict on its data, and the gates it met and those it did not
        verdict,
        cast(return_count as integer) as return_count,
        cast(
            json_object('health', is_healthy, 'history', is_old_enough, 'all', is_healthy and is_old_enough) as varchar
        ) as passes,
        array_to_string(list_filter(
            [
                case when not is_healthy then 'HEALTH:' || verdict end,
                case when is_delisted then 'DELISTED:' || sessions_behind end,
                case when not is_old_enough then 'SHORT_HISTORY:' || return_count end
            ],
            gate -> gate is not null
        ), ',') as failed_gates,

        -- what became of it
        drop_reason is null as is_kept,
        case when drop_reason is not null then 'data' end as drop_stage,
        drop_reason,
        cast(position as integer) as rank

    from gated

)

select * from final
order by window_set, window_index, atom_id
