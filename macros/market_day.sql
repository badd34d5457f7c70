{# The session that a bar belongs to: FX and futures bars opened from 20:00 to 23:59 UTC belong to the next day, crypto
   bars to their UTC date, every other bar to the date in its exchange's time zone. #}
{% macro session_date(opened_at_utc, asset_class, timezone) -%}
    case
        when {{ asset_class }} in ('forex', 'futures') and hour({{ opened_at_utc }}) >= 20
            then cast({{ opened_at_utc }} + interval 4 hour as date)
        when {{ asset_class }} in ('forex', 'futures', 'crypto')
            then cast({{ opened_at_utc }} as date)
        else cast(timezone({{ timezone }}, timezone('UTC', {{ opened_at_utc }})) as date)
    end
{%- endmacro %}

{# The place of a source where several have a bar of one session, 1 before 2: what a desk landed itself, then the
   venue's own archive and interface, then TradingView, then Yahoo. Within one place the newest word counts. #}
{% macro source_place(source) -%}
    case {{ source }}
        when 'binance_bulk' then 2 when 'binance' then 3 when 'tradingview' then 4 when 'yahoo' then 5 else 1
    end
{%- endmacro %}
