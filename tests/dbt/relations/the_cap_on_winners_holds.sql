-- Fails with the windows in which a scored engine has more winners than the profile allows.
select
    funnel.run_id,
    funnel.window_set,
    funnel.window_index,
    funnel.selection_engine,
    funnel.winner_count,
    settings.value as max_winners
from {{ ref('funnel') }} as funnel
inner join {{ ref('run_settings') }} as settings
    on funnel.run_id = settings.run_id and settings.key = 'max_winners'
where
    funnel.selection_engine <> 'baseline'
    and funnel.winner_count > cast(settings.value as integer)
