-- One row per veto code: how severe it is, and whether it is checked or why it is not.
with codes as (

    select
        unnest([
            'DATA_TOXIC', 'SHORT_HISTORY', 'CONSTANT_SERIES', 'METADATA_MISSING', 'SURVIVAL_LOW', 'ENTROPY_TOXIC',
            'KURTOSIS_HIGH', 'ASSET_VOL_HIGH', 'ROC_EXTREME', 'VOL_D_EXTREME', 'ADV_MISSING', 'SHORT_UNBORROWABLE',
            'DOMINATED_LEVERAGED'
        ]) as code,
        'hard' as severity
    union all
    select
        unnest([
            'ENTROPY_HIGH', 'EFFICIENCY_LOW', 'RANDOM_WALK', 'TOXIC_PERSISTENCE', 'ECI_HIGH', 'SPREAD_WIDE',
            'MOMENTUM_GATE', 'TRACKING_POOR', 'WHITE_NOISE'
        ]) as code,
        'soft' as severity

),

explained as (

    select
        codes.code,
        codes.severity,
        codes.code in ('DATA_TOXIC', 'SHORT_HISTORY', 'CONSTANT_SERIES', 'METADATA_MISSING') as is_data_check,
        case
            when codes.code = 'VOL_D_EXTREME'
                then 'no source of this metric yet: no scanner lands the daily volatility that it saw'
            when codes.code = 'TRACKING_POOR'
                then 'no source of this metric yet: no symbol states what it is pegged to'
            when codes.code = 'SHORT_UNBORROWABLE'
                then 'no source of this metric yet: nothing says what can be borrowed'
            when inert.item is not null then 'the profile has it in inert_vetoes'
            when codes.code = 'WHITE_NOISE' and optional.item is null
                then 'it is off unless the profile names it in optional_vetoes'
            when codes.code = 'RANDOM_WALK' and {{ setting('selection.hurst_min', 'double') }} is null
                then 'the profile sets no Hurst band'
            when
                codes.code = 'ENTROPY_HIGH'
                and {{ setting('selection.entropy_max', 'double') }}
                >= {{ setting('selection.limits.entropy_toxic', 'double') }}
                and not exists (
                    select 1
                    from {{ setting_list('selection.inert_vetoes') }} as toxic
                    where toxic.item = 'ENTROPY_TOXIC'
                )
                then
                    'entropy_max ' || {{ setting('selection.entropy_max') }}
                    || ' is not below the limit of ENTROPY_TOXIC ' || {{ setting('selection.limits.entropy_toxic') }}
        end as why_inert
    from codes
    left join {{ setting_list('selection.inert_vetoes') }} as inert on codes.code = inert.item
    left join {{ setting_list('selection.optional_vetoes') }} as optional on codes.code = optional.item

),

final as (

    select
        code,
        severity,
        is_data_check,
        why_inert is null as is_active,
        why_inert
    from explained

)

select * from final
order by code
