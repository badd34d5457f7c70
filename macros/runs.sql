{# History tables keep the rows of every run. A sealed run is left alone; the rows of an unsealed one are replaced. A
   hook cannot carry a ref, so calc_run, which every history table is built after, stands here by its name. #}
{% macro forget_unsealed_rows() -%}
    {% if is_incremental() %}
        delete from {{ this }}
        where run_id in (select run_id from {{ target.database }}.work.calc_run where not is_sealed)
    {% endif %}
{%- endmacro %}

{# Keeps only rows of the current run while it is not sealed: for the models whose rows SQL computes. #}
{% macro current_unsealed_run() -%}
    (select * from {{ ref('current_run') }} where not is_sealed)
{%- endmacro %}
