{# The digest of all that the identification of a row of a scan reads besides what was landed with it: the columns of
   `common` and of the history of its symbol, and for a scanner of an index, the members. #}
{% macro scan_inputs_digest(index_id) -%}
    hash(
        common.code_digest,
        histories.history_digest,
        case when {{ index_id }} is not null then common.members_digest end
    )
{%- endmacro %}

{# The scans of `made_from` whose rows were not made yet into those of the incremental model that calls, or were made
   from other ones: both carry `inputs_digest`. #}
{% macro scans_to_make(made_from) -%}
    select
        load_id,
        scanner_id,
        sum(cast(inputs_digest as hugeint)) as inputs_digest
    from {{ made_from }}
    group by load_id, scanner_id
    {% if knows_inputs() %}
    except
    select
        load_id,
        scanner_id,
        sum(cast(inputs_digest as hugeint)) as inputs_digest
    from {{ this }}
    group by load_id, scanner_id
    {% endif %}
{%- endmacro %}

{# Whether the incremental model that calls has rows that say what they were made from; a table of a version before it
   has none, and all of its rows are made anew. #}
{% macro knows_inputs() -%}
    {#- the linter of SQL renders without an adapter -#}
    {%- if is_incremental() and (adapter is not defined
        or 'inputs_digest' in (adapter.get_columns_in_relation(this) | map(attribute='name') | list)) -%}
        yes
    {%- endif -%}
{%- endmacro %}
