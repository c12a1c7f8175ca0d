"""Divide the tests among several processes (`pytest -n`)."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_LOADS: Final = (
    "tests/chaos/",
    "tests/dashboards/test_on_prometheus.py",
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Schedules whole files, and runs the load tests one after the other.

    Two load tests at once are too much for a small machine beside everything else.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return the scope of a test; one process runs all tests of a scope."""
    file = nodeid.partition("::")[0]
    return "load" if file.startswith(_LOADS) else file
