"""Outages while a group is dead, and whether anything else is wrong with their pipeline."""

from __future__ import annotations

from typing import Final

from tests.dashboards.alert_series import HOP, Case, hop, outage

_OTHER_HOP: Final = 'messaging_consumer_group_name="other", messaging_destination_name="o"'
_DEAD: Final = {
    'pipeline_consumer_status{messaging_consumer_group_name="g", status="dead"}': "0x122 1x38"
}
_NO_MORE: Final = {
    **hop("other", "o", "0+300x120 36000x40"),
    f"pipeline_consumer_lag{{{_OTHER_HOP}}}": "0x160",
    f"pipeline_consumer_lag_time_seconds{{{_OTHER_HOP}}}": "0x160",
}
_DEAD_LETTERS: Final = {
    f'pipeline_dead_letters_total{{pipeline="orders", {_OTHER_HOP}, error_type="E"}}':
        "0x120 0+300x40"
}  # fmt: skip
_LATE: Final = {
    name: values.replace("36000x40", "36000+300x40") if "_count" in name else values
    for name, values in hop("other", "o", "0+300x120 36000x40").items()
}
_OVERDUE: Final = {
    'pipeline_saga_overdue{pipeline="orders", saga="place-order", job="orders"}': "0x120 0+300x40",
    'pipeline_saga_ended_total{pipeline="orders", saga="place-order", outcome="completed", '
    'job="orders"}': "0+300x120 36000x40",
}
_ANSWERED: Final = {
    **hop("orders", "answers", "0+300x120 36000x40"),
    'messaging_client_sent_messages_total{messaging_destination_name="answers", job="payment"}':
        "0+300x120 _x40",
}  # fmt: skip


def _case(about: str, *series: dict[str, str], service: str = "payment") -> Case:
    dead = {**outage(f'{HOP}, job="{service}"'), **_DEAD}
    every = {name: values for each in (dead, *series) for name, values in each.items()}
    return Case(alert="EndToEndOutage", about=about, series=every, at="70m", firing=1)


ANOTHER_CAUSE: Final = (
    (_case("a dead group is all of it"), False),
    (_case("another group gives up on all at the same time", _NO_MORE, _DEAD_LETTERS), True),
    (_case("another group does not know of it", _NO_MORE), False),
    (_case("no group is dead", _NO_MORE, _DEAD_LETTERS, dict.fromkeys(_DEAD, "0x160")), False),
    (_case("all arrives late at another group", _LATE), True),
    (_case("sagas become overdue that do not wait for it", _OVERDUE), True),
    (_case("sagas wait for it, and what they undo arrives late", _ANSWERED, _OVERDUE, _LATE),
     False),
    (_case("sagas wait for it, and another group gives up", _ANSWERED, _OVERDUE, _NO_MORE,
           _DEAD_LETTERS), True),
    (_case("sagas become overdue whose service goes on beside the dead group", _OVERDUE,
           hop("orders", "answers", "0+300x160"), service="orders"), True),
    (_case("sagas become overdue whose own service is dead", _OVERDUE, service="orders"), False),
)  # fmt: skip
"""Each case, and whether the alert says that there is another cause."""
