-- One row per window, scanner and atom: what the run could choose from, and what held a candidate back.
with windows as (

    select windows.*
    from {{ ref('windows') }} as windows
    inner join {{ current_unsealed_run() }} as current_run on windows.run_id = current_run.run_id

),

-- what a list names is in every window; what scanners named is dated by them
listed as (

    select
        windows.window_set,
        windows.window_index,
        windows.decision_date,
        {{ setting('universe.scanner_id') }} as scanner_id,
        items.item as symbol,
        {{ setting('universe.logic') }} as logic,
        {{ setting('universe.direction') }} as stated_direction,
        items.position as position,
        cast(null as integer) as scanner_position,
        cast(null as varchar) as scan_passes,
        cast(null as varchar) as economic_id,
        cast(null as varchar) as venue_class,
        cast(null as double) as vt_rep,
        false as is_protected
    from windows
    cross join {{ setting_list('universe.symbols') }} as items
    union all
    select
        pool.window_set,
        pool.window_index,
        windows.decision_date,
        pool.scanner_id,
        pool.symbol,
        pool.logic,
        pool.direction as stated_direction,
        pool.rank as position,
        pool.position as scanner_position,
        pool.passes as scan_passes,
        pool.economic_id,
        pool.venue_class,
        pool.vt_rep,
        pool.is_protected
    from {{ ref('scan_pool') }} as pool
    inner join windows on pool.window_set = windows.window_set and pool.window_index = windows.window_index

),

returns as (

    select
        symbol,
        session_date,
        count(base_return) over so_far as return_count,
        count(*) over so_far as local_count
    from {{ ref('base_returns') }}
    window so_far as (partition by symbol order by session_date)

),

history as (

    select
        listed.*,
        coalesce(returns.return_count, 0) as return_count,
        coalesce(returns.local_count, 0) as local_count
    from listed
    asof left join returns
        on listed.symbol = returns.symbol and listed.decision_date >= returns.session_date

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
            when history.stated_direction <> 'LATE' then history.stated_direction
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
        (
            {{ setting('quality.gate') }} <> 'strict'
            and coalesce(health.verdict, 'MISSING') = 'STALE'
            and coalesce(gaps.run_length, 0) > {{ setting('simulation.delist_after', 'integer') }}
        )
        or retired.symbol is not null as is_delisted,
        contracts.symbol is not null as is_for_research,
        history.return_count >= {{ setting('selection.history_floor', 'integer') }} as is_old_enough,
        history.local_count >= {{ setting('selection.history_floor', 'integer') }} as is_old_enough_locally
    from directed as history
    inner join windows
        on history.window_set = windows.window_set and history.window_index = windows.window_index
    left join {{ ref('symbol_health') }} as health
        on history.symbol = health.symbol and windows.decision_date = health.as_of_date
    left join {{ ref('bar_gaps') }} as gaps
        on history.symbol = gaps.symbol and windows.decision_date = gaps.session_date
    -- a contract for difference is nobody's to trade, whoever named it
    left join {{ ref('symbols') }} as contracts
        on
            history.symbol = contracts.symbol
            and contracts.valid_to is null
            and contracts.venue_class = 'cfd'
    -- what a venue took off its list after the scan
    left join {{ ref('symbols') }} as retired
        on
            history.scanner_position is not null
            and history.symbol = retired.symbol
            and not retired.is_active
            and windows.decision_close_utc >= retired.valid_from
            and (retired.valid_to is null or windows.decision_close_utc < retired.valid_to)

),

-- what a verdict costs: missing and toxic data are out under every gate, stale ones under the strict one alone
gated as (

    select
        *,
        case
            when is_for_research then 'CFD_RESEARCH_ONLY'
            when is_delisted then 'DELISTED'
            when verdict in ('MISSING', 'TOXIC') then verdict
            when verdict = 'STALE' and {{ setting('quality.gate') }} = 'strict' then verdict
            when not is_old_enough and is_old_enough_locally then 'CURRENCY_UNCONVERTED'
            when not is_old_enough then 'SHORT_HISTORY'
        end as data_reason
    from judged

),

-- one atom that several scanners found is one candidate, of the first of them
merged as (

    select
        *,
        row_number() over (
            partition by window_set, window_index, symbol, logic, direction
            order by data_reason is not null, scanner_position, scanner_id
        ) as copy
    from gated

),

-- scanners with one logic and direction may have found two listings of one thing
contenders as (

    select
        merged.window_set,
        merged.window_index,
        merged.scanner_id,
        merged.logic,
        merged.direction,
        merged.symbol,
        merged.economic_id,
        merged.venue_class,
        split_part(merged.symbol, ':', 1) as exchange,
        quotes.priority as quote_rank,
        exchanges.priority as exchange_rank,
        merged.vt_rep as liquidity,
        merged.is_protected
    from merged
    left join {{ ref('symbols') }} as symbols on merged.symbol = symbols.symbol and symbols.valid_to is null
    left join {{ ref('seed_quotes') }} as quotes on symbols.quote = quotes.quote and symbols.asset_class = 'crypto'
    left join {{ ref('seed_exchanges') }} as exchanges on split_part(merged.symbol, ':', 1) = exchanges.exchange
    where merged.scanner_position is not null and merged.copy = 1 and merged.data_reason is null

),

represented as (

    {{ representatives(
        'contenders', ['window_set', 'window_index', 'economic_id', 'venue_class', 'logic', 'direction']
    ) | indent(4) }}

),

-- the raw pool is what is traded most
pooled as (

    select
        window_set,
        window_index,
        scanner_id,
        symbol,
        logic,
        direction,
        is_protected,
        place = 1 or is_protected as is_representative,
        row_number() over (
            partition by window_set, window_index, place = 1 or is_protected
            order by is_protected desc, liquidity desc nulls last, symbol asc, logic asc, direction asc
        ) as pool_place
    from represented

),

dropped as (

    select
        merged.*,
        case
            when merged.data_reason is not null then 'data'
            when merged.scanner_position is null then null
            when merged.copy > 1 or not pooled.is_representative then 'dedupe'
            when pooled.pool_place > {{ setting('universe.raw_pool_limit', 'integer') }} and not pooled.is_protected
                then 'pool'
        end as drop_stage,
        case
            when merged.data_reason is not null then merged.data_reason
            when merged.scanner_position is null then null
            when merged.copy > 1 then 'DUPLICATE_ATOM'
            when not pooled.is_representative then 'IDENTITY_DUPLICATE'
            when pooled.pool_place > {{ setting('universe.raw_pool_limit', 'integer') }} and not pooled.is_protected
                then 'POOL_LIMIT'
        end as drop_reason
    from merged
    left join pooled
        on
            merged.window_set = pooled.window_set
            and merged.window_index = pooled.window_index
            and merged.scanner_id = pooled.scanner_id
            and merged.symbol = pooled.symbol
            and merged.logic = pooled.logic
            and merged.direction = pooled.direction

),

final as (

    select
        -- keys
        run_id,
        window_set,
        window_index,
        scanner_id,
        {{ atom_id('symbol', 'logic', 'direction') }} as atom_id,

        -- the atom
        symbol,
        logic,
        direction,
        case stated_direction when 'LATE' then 'LATE' else 'DISCOVERY' end as direction_source,

        -- the verdict on its data, and the gates it met and those it did not
        verdict,
        cast(return_count as integer) as return_count,
        cast(
            case
                when scan_passes is null
                    then json_object(
                        'health', is_healthy, 'history', is_old_enough, 'all', is_healthy and is_old_enough
                    )
                else json_merge_patch(
                    scan_passes,
                    json_object(
                        'health', is_healthy, 'history', is_old_enough,
                        'all', is_healthy and is_old_enough and cast(scan_passes ->> 'all' as boolean)
                    )
                )
            end as varchar
        ) as passes,
        array_to_string(list_filter(
            [
                case when is_for_research then 'CFD_RESEARCH_ONLY' end,
                case when not is_healthy then 'HEALTH:' || verdict end,
                case when is_delisted then 'DELISTED:' || sessions_behind end,
                case when not is_old_enough and is_old_enough_locally then 'CURRENCY_UNCONVERTED' end,
                case when not is_old_enough then 'SHORT_HISTORY:' || return_count end
            ],
            gate -> gate is not null
        ), ',') as failed_gates,

        -- what became of it
        drop_reason is null as is_kept,
        drop_stage,
        drop_reason,
        cast(position as integer) as rank

    from dropped

)

select * from final
order by window_set, window_index, atom_id
