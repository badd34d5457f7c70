-- One row per scan, scanner and symbol: what layer 2 says of it, gate by gate.
with scans as (

    select
        scans.load_id,
        scans.scanner_id,
        scans.is_complete,
        scans.status,
        scans.scanned_at_utc,
        configs.config_hash,
        configs.logic,
        configs.direction,
        configs.venue_class,
        configs.exchanges,
        configs.listed_symbols,
        configs.ensured_symbols,
        configs.excluded_bases,
        configs.allowed_quotes,
        configs.excluded_symbols,
        configs.is_leveraged_out,
        configs.is_pegged_out,
        configs.is_only_pegged,
        configs.top_base_count,
        configs.base_limit,
        configs.gates,
        configs.gate_logic,
        configs.median_turnover_min,
        configs.ranks,
        configs.candidate_limit
    from {{ ref('scans') }} as scans
    inner join {{ ref('stg_scanner_configs') }} as configs on scans.config_hash = configs.config_hash

),

answered as (

    select *
    from {{ ref('stg_scan_rows') }}
    -- a row that came again on a later page is the same row
    qualify row_number() over (partition by load_id, scanner_id, symbol order by row_number) = 1

),

named_by_hand as (

    select
        load_id,
        scanner_id,
        unnest(list_distinct(list_concat(
            listed_symbols, case when status = 'LISTED' then [] else ensured_symbols end
        ))) as symbol
    from scans

),

-- what a list names is a row, whether the market answered for it or not
rows as (

    select
        coalesce(answered.load_id, named_by_hand.load_id) as load_id,
        coalesce(answered.scanner_id, named_by_hand.scanner_id) as scanner_id,
        coalesce(answered.symbol, named_by_hand.symbol) as symbol,
        coalesce(answered.type, '') as stated_type,
        coalesce(answered.base, '') as stated_base,
        coalesce(answered.quote, '') as stated_quote,
        answered.turnover as scanned_turnover,
        answered.payload
    from answered
    full outer join named_by_hand
        on
            answered.load_id = named_by_hand.load_id
            and answered.scanner_id = named_by_hand.scanner_id
            and answered.symbol = named_by_hand.symbol

),

identities as (

    select
        symbol,
        known_at_utc,
        economic_id,
        median_turnover
    from {{ ref('symbol_identity') }}

),

tags as (

    select
        scans.load_id,
        scans.scanner_id,
        tags.symbol,
        list(distinct tags.tag) as tags
    from {{ ref('symbol_tags') }} as tags
    inner join scans
        on
            tags.valid_from <= scans.scanned_at_utc
            and (tags.valid_to is null or tags.valid_to > scans.scanned_at_utc)
    group by all

),

-- metadata decide first: those of the answer itself, then those landed before it, then the ticker
identified as (

    select
        scans.*,
        rows.symbol,
        rows.payload,
        rows.scanned_turnover,
        names.exchange,
        names.ticker,
        exchanges.priority as exchange_rank,
        coalesce(tags.tags, []) as tags,
        coalesce(case when names.named_by = 'metadata' then names.base end, symbols.base, names.base) as base,
        coalesce(case when names.named_by = 'metadata' then names.full_base end, names.full_base) as full_base,
        coalesce(case when names.named_by = 'metadata' then names.quote end, symbols.quote, names.quote) as quote,
        coalesce(
            case when names.stated_type <> '' then names.venue_class end, symbols.venue_class, names.venue_class
        ) as row_venue_class,
        names.profile,
        names.is_ambiguous and symbols.base is null as is_ambiguous,
        coalesce(
            identities.economic_id,
            case when names.named_by = 'metadata' then names.economic_id end,
            symbols.economic_id,
            names.economic_id,
            rows.symbol
        ) as economic_id,
        identities.median_turnover,
        rows.payload is null and symbols.symbol is null as is_undescribed,
        list_contains(scans.ensured_symbols, rows.symbol) as is_forced
    from rows
    inner join scans on rows.load_id = scans.load_id and rows.scanner_id = scans.scanner_id
    inner join {{ ref('symbol_names') }} as names
        on
            rows.symbol = names.symbol
            and rows.stated_type = names.stated_type
            and rows.stated_base = names.stated_base
            and rows.stated_quote = names.stated_quote
    left join {{ ref('symbols') }} as symbols
        on
            rows.symbol = symbols.symbol
            and scans.scanned_at_utc >= symbols.valid_from
            and (symbols.valid_to is null or scans.scanned_at_utc < symbols.valid_to)
    left join {{ ref('seed_exchanges') }} as exchanges on names.exchange = exchanges.exchange
    left join tags
        on rows.load_id = tags.load_id and rows.scanner_id = tags.scanner_id and rows.symbol = tags.symbol
    asof left join identities
        on rows.symbol = identities.symbol and scans.scanned_at_utc >= identities.known_at_utc

),

quoted as (

    select
        identified.*,
        quotes.priority as quote_rank,
        coalesce(quotes.is_dollar, identified.profile <> 'CRYPTO')
        and not (identified.row_venue_class in ('perp', 'dated') and coalesce(identified.quote, '') = 'USD')
            as is_comparable
    from identified
    left join {{ ref('seed_quotes') }} as quotes on identified.quote = quotes.quote and identified.profile = 'CRYPTO'

),

-- exclusions, by what a symbol is and never by how its name begins
excluded as (

    select
        *,
        list_filter(
            [
                case
                    when venue_class = 'spot' and row_venue_class <> 'spot' then 'SCAN_VENUE:' || row_venue_class
                    when venue_class = 'perp' and not (row_venue_class = 'perp' and ends_with(ticker, '.P'))
                        then 'SCAN_VENUE:' || row_venue_class
                    when venue_class = 'mixed' and row_venue_class = 'dated' then 'SCAN_VENUE:dated'
                    when len(exchanges) > 0 and not list_contains(exchanges, exchange) then 'SCAN_VENUE:' || exchange
                end,
                case when is_ambiguous then 'IDENTITY_AMBIGUOUS' end,
                case when list_contains(excluded_symbols, symbol) then 'SYMBOL:' || symbol end,
                case
                    when list_contains(excluded_bases, base) or list_contains(excluded_bases, full_base)
                        then 'BASE:' || base
                end,
                case
                    when len(allowed_quotes) > 0 and not coalesce(list_contains(allowed_quotes, quote), false)
                        then 'QUOTE:' || coalesce(quote, 'none')
                end,
                case when is_leveraged_out and list_contains(tags, 'LEVERAGED') then 'LEVERAGED' end,
                case when is_pegged_out and list_contains(tags, 'PEGGED') then 'PEGGED' end,
                case
                    when is_only_pegged and not list_has_any(tags, ['STABLE', 'FIAT', 'GOLD', 'PEGGED'])
                        then 'NOT_PEGGED'
                end
            ],
            one -> one is not null
        ) as exclusions
    from quoted

),

-- turnover in contracts, or in another currency than the dollar, compares with none
measured as (

    select
        *,
        max(case when is_comparable then scanned_turnover end) over (
            partition by load_id, scanner_id, economic_id
        ) as base_turnover
    from excluded

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
        or is_leveraged_out or is_pegged_out or is_only_pegged as has_exclusion
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
                case when len(ensured_symbols) > 0 then ['"forced":' || is_forced] else [] end,
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
        ] as sort_keys

    from judged

)

select * from final
