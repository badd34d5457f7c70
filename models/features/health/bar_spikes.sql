-- One row per symbol, session and code: a bar whose move is suspect, with the value that tripped the rule.
with found as (

    select moves.*
    from {{ ref('calc_suspect_moves') }} as moves
    {% if is_incremental() %}
        inner join {{ pending('bar_spikes') }} as changes
            on moves.symbol = changes.symbol and moves.session_date >= changes.first_changed_date
    {% endif %}

),

-- who resolves a move again means the later word
resolved as (

    select
        symbol,
        session_date,
        code,
        reason
    from {{ ref('stg_resolutions') }}
    qualify row_number() over (
        partition by symbol, session_date, code order by received_at_utc desc, load_id desc, row_number desc
    ) = 1

),

final as (

    select
        -- keys
        found.symbol,
        found.session_date,
        found.code,

        -- what was found
        found.value,
        cast(null as varchar) as donor_symbol,

        -- flags resolve by being harmless; verdict codes stay open until a resolution is recorded
        resolved.reason is not null
        or found.code in ('EXTREME', 'VOLUME_SPIKE', 'ADJUSTMENT_CHANGE') as is_resolved,
        resolved.reason as resolution

    from found
    left join resolved
        on
            found.symbol = resolved.symbol
            and found.session_date = resolved.session_date
            and found.code = resolved.code

)

select * from final
order by symbol, session_date, code
