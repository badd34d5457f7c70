{# History tables keep the rows of every sealed run. Rows of runs that were never sealed, of this build or an earlier
   one, are replaced or forgotten: nobody is misled by them, and no test trips over them. A hook cannot carry a ref,
   so selection.runs, which every history table is built after, stands here by its name. The hook runs before the
   transaction of the model: DuckDB adds no column to a table that the same transaction has deleted from, so a table of
   an older version could not grow. #}
{% macro forget_unsealed_rows() -%}
    {% if is_incremental() %}
        delete from {{ this }}
        where run_id not in (select run_id from {{ target.database }}.selection.runs where status = 'sealed')
    {% endif %}
{%- endmacro %}

{# The table of runs itself remembers runs that failed; only the row of the current one is replaced. #}
{% macro forget_current_run() -%}
    {% if is_incremental() %}
        delete from {{ this }}
        where run_id in (select run_id from {{ target.database }}.work.calc_run where not is_sealed)
    {% endif %}
{%- endmacro %}

{# Keeps only rows of the current run while it is not sealed: for the models whose rows SQL computes. #}
{% macro current_unsealed_run() -%}
    (select * from {{ ref('current_run') }} where not is_sealed)
{%- endmacro %}
