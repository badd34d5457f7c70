{# The id of an atom, built here and nowhere else, and never parsed. #}
{% macro atom_id(symbol, logic, direction) -%}
    {{ symbol }} || '_' || {{ logic }} || '_' || {{ direction }}
{%- endmacro %}
