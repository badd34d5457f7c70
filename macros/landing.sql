{# A misspelt variable would be a build of something else. #}
{% macro require_known_variables() %}
    {% if execute %}
        {% for name in invocation_args_dict.get('vars', {}) %}
            {% if name not in ('profile', 'set', 'label') %}
                {{ exceptions.raise_compiler_error(
                    "UnknownVariable: --vars has '" ~ name ~ "'; valid are profile, set and label"
                ) }}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{# A build without landed bars stops here with the command that lands some. #}
{% macro require_landing() %}
    {% if execute and flags.WHICH in ('build', 'run', 'test', 'show') %}
        {% set found = run_query(
            "select count(*) from information_schema.tables where table_schema = 'raw' and table_name = 'bars'"
        ).columns[0].values()[0] %}
        {% set bars = run_query("select count(*) from (select 1 from raw.bars limit 1)").columns[0].values()[0]
            if found else 0 %}
        {% if not bars %}
            {{ exceptions.raise_compiler_error(
                "MissingLanding: the workbench has no landed bars; run 'python -m ingest sample' or 'python -m ingest import'"
            ) }}
        {% endif %}
        {% set needed = [('resolutions', 'payload'), ('scanner_configs', 'resolved'), ('scan_rows', 'config_hash'),
            ('symbol_aliases', 'payload')] %}
        {% for table, column in needed %}
            {% if not run_query(
                "select 1 from information_schema.columns where table_schema = 'raw' and table_name = '" ~ table
                ~ "' and column_name = '" ~ column ~ "'"
            ).rows %}
                {{ exceptions.raise_compiler_error(
                    "MissingLanding: the workbench has no " ~ column ~ " in raw." ~ table ~ ", which is newer than it; any"
                    ~ " landing adds it, for example 'python -m ingest sample' or 'python -m ingest import', and so does"
                    ~ " 'make rebuild'"
                ) }}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}
