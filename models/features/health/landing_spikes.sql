-- One row per symbol, session and code that ingest found contaminated and that no accepted bar has settled since.
with findings as (

    select *
    from {{ ref('stg_findings') }}
    where
        opened_at_utc is not null
        and (
            (severity = 'reject' and code in ('TOXIC_RETURN', 'CROSS_LEVEL', 'DUPLICATE_ROW'))
            or (severity = 'quarantine' and code in ('IMPOSSIBLE', 'SUSPECT_DROP'))
            -- the stored bar that came again under another name
            or (severity = 'warning' and code = 'DUPLICATE_ROW')
        )

),

symbols as (

    select *
    from {{ ref('symbols') }}
    where valid_to is null

),

dated as (

    select
        findings.*,
        {{ session_date('findings.opened_at_utc', 'symbols.asset_class', 'symbols.timezone') }} as session_date
    from findings
    inner join symbols on findings.symbol = symbols.symbol

),

-- a session that has a bar all the same was fetched clean before or after; a stored twin stays open until its symbol
-- was verified or the bar replaced
open_ones as (

    select dated.*
    from dated
    left join {{ ref('session_bars') }} as session_bars
        on dated.symbol = session_bars.symbol and dated.session_date = session_bars.session_date
    left join {{ ref('stg_symbol_registry') }} as registry on dated.symbol = registry.symbol
    where
        session_bars.symbol is null
        or (dated.severity = 'warning' and registry.status = 'TOXIC' and dated.load_id > session_bars.load_id)

),

final as (

    select
        -- keys
        symbol,
        session_date,
        code,

        -- the newest word on it
        arg_max(value, (load_id, opened_at_utc)) as value,
        arg_max(donor_symbol, (load_id, opened_at_utc)) as donor_symbol

    from open_ones
    group by symbol, session_date, code

)

select * from final
order by symbol, session_date, code
