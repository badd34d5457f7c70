-- One row per symbol, session and code: a bar that landing kept out of the tables because it cannot be what was traded.
with suspicions as (

    select *
    from {{ ref('stg_findings') }}
    where
        opened_at_utc is not null
        and (
            (severity = 'reject' and code in ('TOXIC_RETURN', 'IMPOSSIBLE', 'CROSS_LEVEL', 'DUPLICATE_ROW'))
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
        suspicions.*,
        {{ session_date('suspicions.opened_at_utc', 'symbols.asset_class', 'symbols.timezone') }} as session_date
    from suspicions
    inner join symbols on suspicions.symbol = symbols.symbol

),

-- the same bar may have been kept out again and again
newest as (

    select *
    from dated
    qualify row_number() over (
        partition by symbol, session_date, code order by detected_at_utc desc, load_id desc, opened_at_utc desc
    ) = 1

),

final as (

    select
        -- keys
        newest.symbol,
        newest.session_date,
        newest.code,

        -- what was found
        newest.value,
        newest.donor_symbol,

        -- a bar of that session which was accepted is a clean one; a stored twin stays open until its symbol was
        -- verified or the bar replaced
        bars.symbol is not null
        and not (
            newest.severity = 'warning'
            and coalesce(registry.status = 'TOXIC', false)
            and newest.load_id > bars.load_id
        ) as is_healed

    from newest
    left join {{ ref('session_bars') }} as bars
        on newest.symbol = bars.symbol and newest.session_date = bars.session_date
    left join {{ ref('stg_symbol_registry') }} as registry on newest.symbol = registry.symbol

)

select * from final
order by symbol, session_date, code
