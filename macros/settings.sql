{# One setting of the current run, by dotted key, as a scalar of the given type. #}
{% macro setting(key, type='varchar') -%}
    (
        select cast(settings.value ->> '$' as {{ type }})
        from {{ ref('calc_settings') }} as settings
        where settings.key = '{{ key }}'
    )
{%- endmacro %}

{# A setting that holds a list, as one row per element: columns `position` (from 1) and `item`. #}
{% macro setting_list(key) -%}
    (
        select
            generate_subscripts(items, 1) as position,
            unnest(items) as item
        from (
            select from_json(settings.value, '["VARCHAR"]') as items
            from {{ ref('calc_settings') }} as settings
            where settings.key = '{{ key }}'
        )
    )
{%- endmacro %}
