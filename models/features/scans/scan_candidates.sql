-- One row per scan, scanner and symbol: which gates it passed, and whether it became a candidate or why not.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['load_id', 'scanner_id', 'symbol']
) }}

with wanted as (

    {{ scans_to_make(ref('scan_rows_judged')) | indent(4) }}

),

judged as (

    select rows.*
    from {{ ref('scan_rows_judged') }} as rows
    semi join wanted on rows.load_id = wanted.load_id and rows.scanner_id = wanted.scanner_id

),

measured as (

    select
        *,
        is_forced or logic = 'anchor' as is_protected,
        case
            when median_turnover_min is null or is_forced then null
            when median_turnover is null then 'null:median_turnover'
            when median_turnover < median_turnover_min
                then 'median_turnover ' || round(median_turnover) || ' is below ' || median_turnover_min
        end as thin_reason
    from judged

),

-- layer 3 begins with whoever is traded enough: a listing that is not stands for nobody
eligible as (

    select
        load_id,
        scanner_id,
        symbol,
        economic_id,
        exchange,
        venue_class,
        quote_rank,
        exchange_rank,
        liquidity
    from measured
    where is_complete and (is_passed or is_forced) and thin_reason is null

),

represented as (

    {{ representatives('eligible', ['load_id', 'scanner_id', 'economic_id', 'venue_class']) | indent(4) }}

),

stood_for as (

    select
        represented.*,
        first_value(symbol) over (
            partition by load_id, scanner_id, economic_id, venue_class order by place
        ) as representative
    from represented

),

joined as (

    select
        measured.*,
        stood_for.place,
        stood_for.group_liquidity,
        stood_for.alternatives,
        stood_for.representative
    from measured
    left join stood_for
        on
            measured.load_id = stood_for.load_id
            and measured.scanner_id = stood_for.scanner_id
            and measured.symbol = stood_for.symbol

),

ranked as (

    select
        *,
        place = 1 or (place is not null and is_protected) as is_ranked,
        row_number() over (
            partition by load_id, scanner_id, place = 1 or (place is not null and is_protected)
            order by sort_keys asc, liquidity desc nulls last, symbol asc
        ) as position
    from joined

),

staged as (

    select
        *,
        case
            when not is_complete then 'scan'
            when not is_passed and not is_forced then failed_stage
            when thin_reason is not null then 'eligibility'
            when not is_ranked then 'identity'
            when position > candidate_limit and not is_forced then 'limit'
        end as drop_stage
    from ranked

),

final as (

    select
        -- keys
        load_id,
        scanned_at_utc,
        scanner_id,
        config_hash,
        symbol,

        -- the atom it would be
        logic,
        direction,

        -- layer 2: every gate, and each with its field, threshold and value
        passes,
        passes_detail,
        failed_gates,
        is_forced,

        -- layer 3: the group it stands for
        economic_id,
        economic_id || ':' || venue_class as identity_group,
        venue_class,
        liquidity as vt_rep,
        group_liquidity as vt_group,
        alternatives,
        case when place > 1 then representative end as represented_by,

        -- what became of it
        case
            when drop_stage = 'scan' then 1
            when drop_stage is null or drop_stage in ('eligibility', 'identity', 'limit') then 3
            else 2
        end as layer,
        drop_stage is null as is_kept,
        drop_stage,
        case drop_stage
            when 'scan' then 'SCAN_' || status
            when 'eligibility' then thin_reason
            when 'identity' then 'IDENTITY_DUPLICATE'
            when 'limit' then 'LIMIT'
            else case when drop_stage is not null then failed_reason end
        end as drop_reason,
        cast(case when drop_stage is null then position end as integer) as rank,
        case when is_undescribed then 'MISSING' else 'OK' end as metadata_status,
        inputs_digest

    from staged

)

select * from final
