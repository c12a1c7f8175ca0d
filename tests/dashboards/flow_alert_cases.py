"""The cases of alerts on end-to-end lag."""

from __future__ import annotations

from typing import Final

from dashboards.config import Config, Objective
from tests.dashboards.alert_series import (
    AGE,
    HOP,
    LATE,
    Case,
    arrivals,
    behind,
    dead_letters,
    ended,
    ends_after,
    hop,
    idle,
    of_the_consumer,
    outage,
    overdue,
    status,
    waiting,
    without_lag,
)

_DELIVERED: Final = Config(
    objectives=(Objective(name="delivered", pipeline="orders", group="shipping"),)
)
_FLOWS: Final = {
    **hop("payment", "orders.events", "0+300x120 36000x140", "payments.events"),
    **hop("shipping", "payments.events", "0+300x260"),
    **hop("reports", "orders.events", "0+300x120 36000x140", "reports.events"),
    **hop("mails", "reports.events", "0+300x260"),
}


def _halted_before(samples: int) -> dict[str, str]:
    """Return the series of a consumer that died, with lag until so many samples."""
    halted = of_the_consumer(outage(until=samples - 120))
    return {name: f"{values} _x60" for name, values in halted.items()}


FLOW_CASES: Final = (
    Case(alert="EndToEndOutage", about="a consumer died three minutes ago", series=outage(),
         at="63m", firing=1),
    Case(alert="EndToEndOutage", about="a consumer died an hour ago", series=outage(until=130),
         at="124m", firing=1),
    Case(alert="EndToEndOutage", about="the only consumer died more than six hours ago",
         series=of_the_consumer(outage(until=750)), at="7h10m", firing=1),
    Case(alert="EndToEndOutage", about="a few records of a busy pipeline wait where one is idle",
         series={**arrivals(0, each=3000), **idle(), **waiting("0x120 100x140", "0x120 10x140")},
         at="70m", firing=0),
    Case(alert="EndToEndOutage", about="a few dead letters of a busy pipeline where one is idle",
         series={**arrivals(0, each=3000), **idle(), **dead_letters("E", "0x120 25x140")},
         at="64m", days=True, firing=0),
    Case(alert="EndToEndOutage", about="records wait where a pipeline was renamed",
         series={**ends_after(arrivals(0, each=3000), 120), **idle("returns", "_x122 0+3000x140"),
                 **waiting("0x140 100x140", "0x140 10x140")}, at="100m", firing=0),
    Case(alert="EndToEndOutage", about="a consumer of two pipelines died seven minutes ago",
         series={**outage(), **ends_after(idle("returns", "0+30x400"), 120)}, at="67m", firing=2),
    Case(alert="EndToEndOutage", about="it died half an hour ago, one pipeline a moment earlier",
         series={**outage(kills_at=121, until=80), **ends_after(idle("returns", "0+30x400"), 120)},
         at="92m", firing=2),
    Case(alert="EndToEndErrorBudgetFastBurn", about="records wait where a pipeline was renamed",
         series={**ends_after(arrivals(0, each=3000), 120), **idle("returns", "_x122 0+3000x140"),
                 **waiting("0x140 100x140", "0x140 10x140")}, at="100m", firing=0),
    Case(alert="EndToEndOutage", about="a consumer died an hour after its pipeline was renamed",
         series={**ends_after(arrivals(0, each=300), 120),
                 **idle("shop", "_x121 0+300x120 _x100"),
                 **waiting("0x242 300+300x100", "0x242 30+30x100")}, at="130m", firing=1),
    Case(alert="EndToEndOutage", about="a consumer restarted within a minute",
         series={**outage(), f"{AGE}{{{HOP}}}": "0x120 30 60 20 0x40",
                 "pipeline_consumer_lag{" + HOP + "}": "0x120 300 600 200 0x40"},
         at="66m", firing=0),
    Case(alert="EndToEndOutage", about="two of three records become dead letters",
         series={**arrivals(0), **dead_letters("E", "0x120 0+2000x40")}, at="64m", firing=1),
    Case(alert="EndToEndOutage", about="a pipeline's records become dead letters beside a busy one",
         series={**arrivals(0, each=300), **idle("returns", "0+30x120 3600x40"),
                 **dead_letters("E", "0x120 0+30x40", pipeline="returns")}, at="66m", firing=1),
    Case(alert="EndToEndOutage", about="the lag monitor died ten minutes after the only consumer",
         series={**_halted_before(140), **status("dead", "0x122 1x18 _x60")}, at="78m", firing=1),
    Case(alert="EndToEndOutage", about="a group was deleted after its consumer ended",
         series={**_halted_before(121), **status("ok", "1x200")}, at="78m", firing=0),
    Case(alert="EndToEndOutage", about="replayed dead letters fail again",
         series={**arrivals(0, each=30), **dead_letters("E", "500x160"),
                 **dead_letters("E", "0x120 500x40", replayed=True)}, at="63m", firing=0),
    Case(alert="EndToEndOutage", about="fewer are late than the objective allows",
         series=arrivals(350), at="64m", firing=0,
         config=Config(objectives=(Objective(ratio=0.5),))),
    Case(alert="EndToEndOutage", about="a dead letter now and then",
         series={**arrivals(0), **dead_letters("E", "0+10x160")}, at="64m", firing=0),
    Case(alert="EndToEndOutage", about="most sagas become overdue",
         series={**arrivals(0, job="orders"), **ended("completed", "0+2x160"),
                 **overdue("0x120 0+10x40")}, at="64m", firing=1),
    Case(alert="EndToEndOutage", about="sagas that were overdue long ago",
         series={**arrivals(0, job="orders"), **ended("completed", "0+2x160"),
                 **overdue("50x160")}, at="64m", firing=0),
    Case(alert="EndToEndOutage", about="a group has left the topic that grows",
         series={**arrivals(0), f"pipeline_consumer_abandoned{{{HOP}}}": "0+3000x160"},
         at="64m", firing=0),
    Case(alert="EndToEndErrorBudgetFastBurn", about="half are late", series=arrivals(500),
         at="90m", firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="half of one type, which is one in ten",
         series={**arrivals(0), **arrivals(50, each=100, kind="Last")}, at="90m", firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="half are late, and data of half an hour",
         series=arrivals(500), at="30m", firing=0),
    Case(alert="EndToEndErrorBudgetFastBurn", about="a consumer died twelve minutes ago",
         series=outage(), at="72m", firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="a consumer died three days ago",
         series=outage(until=8700), at="73h", days=True, firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="the only consumer died ten hours ago",
         series=of_the_consumer(outage(until=1300)), at="11h", days=True, firing=1),
    Case(alert="EndToEndErrorBudgetFastBurn", about="a removed consumer, ten hours ago",
         series=without_lag(outage(until=1300)), at="11h", days=True, firing=0),
    Case(alert="EndToEndErrorBudgetFastBurn", about="one in ten is late", series=arrivals(100),
         at="90m", firing=0),
    Case(
        alert="EndToEndErrorBudgetFastBurn",
        about="flows were late and no longer are",
        series={
            f'{LATE}_bucket{{pipeline="orders", le="5"}}': "0+500x180 90000+1000x40",
            f'{LATE}_count{{pipeline="orders"}}': "0+1000x220",
        },
        at="102m",
        firing=0,
        before=True,
    ),
    Case(
        alert="EndToEndErrorBudgetFastBurn",
        about="too few flows, all late",
        series={
            f'{LATE}_bucket{{pipeline="orders", le="5"}}': "0x200",
            f'{LATE}_count{{pipeline="orders"}}': "0x120 1 1 1 1 2 2 2 2x190",
        },
        at="90m",
        firing=0,
    ),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="one in ten is late",
         series=arrivals(100, 900), at="7h", days=True, firing=1),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="one in fifty is late",
         series=arrivals(20, 900), at="7h", days=True, firing=0),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="one in ten is late, and data of two hours",
         series=arrivals(100), at="2h", firing=0),
    Case(alert="EndToEndErrorBudgetMediumBurn", about="a group that died for an hour was repaired",
         series={f'{LATE}_bucket{{pipeline="orders", {HOP}, le="5"}}':
                 "0+300x730 _x119 219000 219000+300x60",
                 f'{LATE}_count{{pipeline="orders", {HOP}}}':
                 "0+300x730 _x119 237000 255000+300x60",
                 **status("dead", "0x732 1x118 0x60")},
         at="7h15m", firing=0, before=True),
    Case(alert="EndToEndErrorBudgetSlowBurn", about="one in fifty is late",
         series=arrivals(20, 9000), at="73h", days=True, firing=1),
    Case(alert="EndToEndErrorBudgetSlowBurn", about="as many late as allowed",
         series=arrivals(9, 9000), at="73h", days=True, firing=0),
    Case(alert="EndToEndErrorBudgetSlowBurn", about="one in fifty is late, and data of two days",
         series=arrivals(20, 9000), at="48h", days=True, firing=0),
)  # fmt: skip

CHOSEN_CASES: Final = (
    Case(alert="EndToEndOutage", about="a hop before that of the objective is behind",
         series={**_FLOWS, **behind("payment", "orders.events")}, at="66m", firing=1,
         config=_DELIVERED),
    Case(alert="EndToEndOutage", about="a hop before that of the objective died while it was new",
         series={**hop("payment", "orders.events", "_x124 0+300x100 _x60", "payments.events"),
                 **hop("shipping", "payments.events", "_x124 0+300x100 30000x60"),
                 **{name: values.replace("0x120 ", "_x124 0x100 ")
                    for name, values in behind("payment", "orders.events").items()}},
         at="116m", firing=1, config=_DELIVERED),
    Case(alert="EndToEndOutage", about="a side branch of the objective is behind",
         series={**_FLOWS, **behind("reports", "orders.events")}, at="66m", firing=0,
         config=_DELIVERED),
    Case(alert="EndToEndOutage", about="a side branch is behind, without the recording rules",
         series={**_FLOWS, **behind("reports", "orders.events")}, at="66m", firing=0, days=True,
         config=_DELIVERED),
    *(
        Case(alert=alert, about="a chosen pipeline with few flows, of a group that others use",
             series={**ends_after(arrivals(0), 60), **idle("returns", "_x9 1x10 2x39 _x60"),
                     **status("dead", "0x60 1x60"),
                     **dead_letters("E", "0x58 5x60", pipeline="returns")},
             at="34m", firing=1, config=Config(pipelines=("returns",)))
        for alert in ("ConsumerStalled", "DeadLettersGrowing")
    ),
    Case(alert="ConsumerStalled", about="a chosen pipeline had no flow since a restart, for hours",
         series={**arrivals(0, 1100), **idle("returns", "0+30x120 _x1000"),
                 **status("dead", "0x1000 1x100")},
         at="9h", days=True, firing=1, config=Config(pipelines=("returns",))),
    Case(alert="EndToEndOutage", about="a chosen pipeline came to rest before its consumer died",
         series={**idle("orders", "0+300x60 18000x60 _x60"), **waiting("0x120 300+300x60",
                                                                      "0x120 30+30x60"),
                 **ends_after(idle("probe", "0+2x200"), 120)},
         at="70m", firing=1, config=Config(pipelines=("orders",))),
    *(
        Case(alert=alert, about="the pipeline of the group is not chosen",
             series={**arrivals(0), **status("dead", "1x100"),
                     **dead_letters("E", "0x40 5x60")},
             at="30m", firing=0, config=Config(pipelines=("returns",)))
        for alert in ("ConsumerStalled", "DeadLettersGrowing")
    ),
)  # fmt: skip
