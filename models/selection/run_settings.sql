-- One row per run and setting: the value as JSON text and the layer it came from.
with final as (

    select
        current_run.run_id,
        settings.key,
        settings.value,
        settings.source_layer
    from {{ ref('calc_settings') }} as settings
    cross join {{ current_unsealed_run() }} as current_run

)

select * from final
order by key
