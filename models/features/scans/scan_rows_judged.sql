-- One row per scan, scanner and symbol: what layer 2 says of it, gate by gate.
{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['load_id', 'scanner_id', 'symbol']
) }}

with wanted as (

    {{ scans_to_make(ref('scan_rows_identified')) | indent(4) }}

),

payloads as (

    select
        load_id,
        row_number,
        payload
    from {{ ref('stg_scan_rows') }}
    where
        load_id in (
            select wanted.load_id
            from wanted
        )

),

identified as (

    select
        rows.*,
        payloads.payload,
        scans.is_complete,
        scans.status,
        configs.logic,
        configs.direction,
        configs.listed_symbols,
        configs.ensured_symbols,
        configs.excluded_bases,
        configs.allowed_quotes,
        configs.excluded_symbols,
        configs.is_leveraged_out,
        configs.is_pegged_out,
        configs.is_only_pegged,
        configs.index_id,
        configs.top_base_count,
        configs.base_limit,
        configs.gates,
        configs.gate_logic,
        configs.median_turnover_min,
        configs.ranks,
        configs.candidate_limit
    from {{ ref('scan_rows_identified') }} as rows
    semi join wanted on rows.load_id = wanted.load_id and rows.scanner_id = wanted.scanner_id
    inner join {{ ref('scans') }} as scans on rows.load_id = scans.load_id and rows.scanner_id = scans.scanner_id
    inner join {{ ref('stg_scanner_configs') }} as configs on rows.config_hash = configs.config_hash
    left join payloads on rows.load_id = payloads.load_id and rows.row_number = payloads.row_number

),

-- turnover in contracts, or in another currency than the dollar, compares with none
measured as (

    select
        *,
        max(case when is_comparable then scanned_turnover end) over (
            partition by load_id, scanner_id, economic_id
        ) as base_turnover
    from identified

),

-- the base universe keeps its most traded bases, and of who is not excluded its most traded rows
limited as (

    select
        *,
        top_base_count is not null and dense_rank() over (
            partition by load_id, scanner_id
            order by base_turnover desc nulls last, economic_id asc
        ) > top_base_count as is_beyond_bases
    from measured

),

based as (

    select
        * exclude (base_turnover),
        not is_beyond_bases
        and (
            base_limit is null
            or len(exclusions) > 0
            or row_number() over (
                partition by load_id, scanner_id, len(exclusions) = 0 and not is_beyond_bases
                order by scanned_turnover desc nulls last, symbol asc
            ) <= base_limit
        ) as is_in_base
    from limited

),

-- a value that is missing or no number fails its gate
valued as (

    select
        *,
        [
            struct_pack(
                gate := one.gate,
                field := one.field,
                op := one.operation,
                threshold := one.threshold,
                value := try_cast(json_extract_string(payload, '$."' || one.field || '"') as double),
                is_strategy := one.gate not in ('market_cap', 'volatility', 'liquidity', 'recent_perf')
            ) for one in gates
        ] as values
    from based

),

gated as (

    select
        * exclude (values),
        [
            struct_pack(
                gate := one.gate,
                field := one.field,
                op := one.op,
                threshold := one.threshold,
                value := case when isfinite(one.value) then one.value end,
                ok := coalesce(
                    isfinite(one.value)
                    and case one.op
                        when 'greater' then one.value > one.threshold
                        when 'egreater' then one.value >= one.threshold
                        when 'less' then one.value < one.threshold
                        when 'eless' then one.value <= one.threshold
                    end,
                    false
                ),
                is_strategy := one.is_strategy
            ) for one in values
        ] as gate_values
    from valued

),

reasoned as (

    select
        * exclude (gate_values),
        [
            struct_pack(
                gate := one.gate,
                field := one.field,
                op := one.op,
                threshold := one.threshold,
                value := one.value,
                ok := one.ok,
                reason := case
                    when one.ok then null
                    when one.value is null then 'null:' || one.field
                    when one.op = 'greater' then one.field || ' ' || one.value || ' is not > ' || one.threshold
                    when one.op = 'egreater' then one.field || ' ' || one.value || ' is not >= ' || one.threshold
                    when one.op = 'less' then one.field || ' ' || one.value || ' is not < ' || one.threshold
                    when one.op = 'eless' then one.field || ' ' || one.value || ' is not <= ' || one.threshold
                end,
                is_strategy := one.is_strategy
            ) for one in gate_values
        ] as details
    from gated

),

marked as (

    select
        *,
        [one.gate for one in details] as gate_names,
        [one.gate for one in details if not one.ok] as unmet_gates,
        [one.reason for one in details if not one.ok] as unmet_reasons
    from reasoned

),

-- gates of one name are one entry of the audit object, at the place of the first of them
named as (

    select
        *,
        [
            struct_pack(
                gate := one.gate,
                ok := not list_contains(unmet_gates, one.gate),
                reason := unmet_reasons[list_position(unmet_gates, one.gate)],
                is_strategy := one.is_strategy,
                stage_order := case one.gate
                    when 'market_cap' then 3 when 'volatility' then 4 when 'liquidity' then 5 when 'recent_perf' then 6
                    else 7
                end
            )
            for one, number in details
            if list_position(gate_names, one.gate) = number
        ] as entries
    from marked

),

combined as (

    select
        *,
        case
            when len(list_filter(entries, one -> one.is_strategy)) = 0 then null
            when gate_logic = 'or' then list_bool_or([one.ok for one in entries if one.is_strategy])
            else list_bool_and([one.ok for one in entries if one.is_strategy])
        end as is_trend_met,
        coalesce(list_bool_and([one.ok for one in entries if not one.is_strategy]), true) as is_hygiene_met,
        -- a list without any exclusion of its own has no such gate
        len(listed_symbols) = 0
        or len(excluded_bases) + len(allowed_quotes) + len(excluded_symbols) > 0
        or is_leveraged_out or is_pegged_out or is_only_pegged or index_id is not null as has_exclusion
    from named

),

-- which gates it failed, in the order of the layer
judged as (

    select
        *,
        (not has_exclusion or len(exclusions) = 0) and is_in_base and is_hygiene_met and coalesce(is_trend_met, true)
            as is_passed,
        list_concat(
            case when has_exclusion and len(exclusions) > 0 then ['exclusion'] else [] end,
            case when not is_in_base then ['base'] else [] end,
            [one.gate for one in entries if not one.ok]
        ) as failed
    from combined

),

final as (

    select
        -- keys
        load_id,
        scanner_id,
        config_hash,
        symbol,
        scanned_at_utc,

        -- the scanner
        logic,
        direction,
        is_complete,
        status,
        candidate_limit,
        median_turnover_min,

        -- the instrument
        exchange,
        row_venue_class as venue_class,
        economic_id,
        quote_rank,
        exchange_rank,
        is_undescribed,
        is_forced,

        -- the verdict
        is_passed,
        '{' || array_to_string(
            list_concat(
                case when has_exclusion then ['"exclusion":' || (len(exclusions) = 0)] else [] end,
                case
                    when base_limit is not null or top_base_count is not null then ['"base":' || is_in_base]
                    else []
                end,
                ['"' || one.gate || '":' || one.ok for one in entries],
                case when is_trend_met is not null then ['"trend_combined":' || is_trend_met] else [] end,
                case when is_forced then ['"forced":true'] else [] end,
                ['"all":' || is_passed]
            ),
            ','
        ) || '}' as passes,
        cast(to_json(list_concat(
            [
                struct_pack(
                    gate := 'exclusion', field := null, op := null, threshold := null, value := null, ok := false,
                    reason := one
                ) for one in exclusions if has_exclusion
            ],
            [
                struct_pack(
                    gate := one.gate, field := one.field, op := one.op, threshold := one.threshold, value := one.value,
                    ok := one.ok, reason := one.reason
                ) for one in details
            ]
        )) as varchar) as passes_detail,
        array_to_string(failed, ',') as failed_gates,
        case
            when is_passed then null
            when is_beyond_bases then 'base'
            when has_exclusion and len(exclusions) > 0 then 'exclusion'
            when not is_in_base then 'base'
            when gate_logic = 'or' and is_hygiene_met then 'trend_combined'
            else list_sort([
                struct_pack(o := one.stage_order, n := number, gate := one.gate)
                for one, number in entries if not one.ok and not (gate_logic = 'or' and one.is_strategy)
            ])[1].gate
        end as failed_stage,
        case
            when is_passed then null
            when is_beyond_bases then 'TOP_BASES'
            when has_exclusion and len(exclusions) > 0 then exclusions[1]
            when not is_in_base then 'BASE_LIMIT'
            when gate_logic = 'or' and is_hygiene_met
                then array_to_string([one.reason for one in entries if one.is_strategy], ' or ')
            else list_sort([
                struct_pack(o := one.stage_order, n := number, reason := one.reason)
                for one, number in entries if not one.ok and not (gate_logic = 'or' and one.is_strategy)
            ])[1].reason
        end as failed_reason,

        -- what layer 3 reads
        median_turnover,
        case when is_comparable then coalesce(median_turnover, scanned_turnover) end as liquidity,
        [
            coalesce(
                case one."order" when 'desc' then -1 else 1 end
                * try_cast(json_extract_string(payload, '$."' || one.field || '"') as double),
                cast('infinity' as double)
            ) for one in ranks
        ] as sort_keys,

        -- what all of this was read from
        inputs_digest

    from judged

)

select * from final
