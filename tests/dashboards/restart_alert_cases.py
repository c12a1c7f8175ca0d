"""Series of processes that restart, by which alerts must not fire, or must fire nevertheless."""

from __future__ import annotations

from typing import Final

from tests.dashboards.alert_series import HOP, LATE, LOST, Case, arrivals, ended, overdue

_ARRIVALS: Final = f'pipeline="orders", {HOP}, message_type="First", instance="orders-0"'

RESTART_CASES: Final = (
    *(
        Case(
            alert="EndToEndOutage",
            about=f"a process restarts as the same series, and flows arrive in time: {about}",
            series={
                f'{LATE}_bucket{{{_ARRIVALS}, le="5"}}': f"{in_time}x119 {since}",
                f"{LATE}_count{{{_ARRIVALS}}}": f"100x119 {since}",
            },
            at="65m",
            firing=0,
        )
        for about, in_time, since in (
            ("half of them before", 50, "0 20 40 55 60 62 64 66 68 70 72"),
            ("none of them before", 0, "4 20 40 55 60 62 64 66 68 70 72"),
        )
    ),
    Case(
        alert="RecordsLost",
        about="the monitor restarted, and the group has committed since it lost records",
        series={
            f'{LOST}{{{HOP}, instance="{name}"}}': values
            for name, values in (("a", "7x80 _x80"), ("b", "_x82 0x80"))
        },
        at="60m",
        firing=0,
    ),
    Case(
        alert="SagaFailed",
        about="some failed long ago, before a restart without a store",
        series={
            **ended("failed", "0x40 3x3040 _x80", by="process"),
            **ended("failed", "_x3082 0x80", "b", "process"),
        },
        at="26h",
        days=True,
        firing=0,
    ),
    Case(
        alert="SagaFailed",
        about="two failed at the one of two processes without a store that had fewer",
        series={
            **ended("failed", "3x160", by="process"),
            **ended("failed", "0x110 2x50", "b", "process"),
        },
        at="60m",
        firing=1,
    ),
    Case(
        alert="SagaFailed",
        about="a store has forgotten old ones",
        series={**ended("failed", "500x80 20x80"), **ended("failed", "500x81 20x80", "b")},
        at="60m",
        firing=0,
    ),
    Case(
        alert="EndToEndOutage",
        about="sagas that were overdue before twelve minutes without metrics",
        series={
            **arrivals(0, each=10),
            **ended("completed", "0+1x120 _x24 145+1x60"),
            **overdue("50x120 _x24 50x60"),
        },
        at="80m",
        firing=0,
    ),
    Case(
        alert="EndToEndOutage",
        about="most sagas become overdue, fewer than a process saw that ended an hour before",
        series={
            **arrivals(0, job="orders"),
            **ended("completed", "0+2x160"),
            **overdue("500x20 _x180"),
            **overdue("_x22 0x98 0+10x40", "b"),
        },
        at="64m",
        firing=1,
    ),
)
