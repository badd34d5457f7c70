-- One row per symbol and missing session, judged as of that session: what came later is not looked at.
with missing as (

    select expected.*
    from {{ ref('expected_sessions') }} as expected
    {% if is_incremental() %}
        inner join {{ pending('bar_gaps') }} as changes
            on expected.symbol = changes.symbol and expected.session_date >= changes.first_changed_date
    {% endif %}
    where expected.is_missing

),

final as (

    select
        -- keys
        missing.symbol,
        missing.session_date,

        -- how many sessions in a row are missing up to this one
        cast(missing.session_number - missing.last_session_number as integer) as run_length,

        -- the institutional tolerance: one missing session of an exchange is excused, of a round-the-clock market none
        missing.calendar_id <> '24/7' and missing.session_number - missing.last_session_number = 1 as is_excused

    from missing

)

select * from final
