-- One row per asset class with defaults: tick, lot and precision of instruments whose own metadata do not say them.
with named as (

    select
        split_part(settings.key, '.', 3) as asset_class,
        split_part(settings.key, '.', 4) as field,
        cast(settings.value ->> '$' as double) as value
    from {{ ref('calc_settings') }} as settings
    where settings.key like 'selection.metadata_defaults.%'

),

final as (

    select
        asset_class,
        max(value) filter (where field = 'tick_size') as tick_size,
        max(value) filter (where field = 'lot_size') as lot_size,
        max(value) filter (where field = 'price_precision') as price_precision
    from named
    group by asset_class

)

select * from final
order by asset_class
