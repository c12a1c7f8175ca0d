"""Divide the tests among several processes (`pytest -n`)."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_LOADS: Final = (
    "tests/chaos/",
    "tests/dashboards/test_on_prometheus.py",
)
# They share a registry, whose start takes time and memory.
_REGISTRY: Final = "tests/demo_pipeline/registry/"


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Schedules whole files, and runs the load tests one after the other.

    Two load tests at once are too much for a small machine beside everything else.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return the scope of a test; one process runs all tests of a scope."""
    file = nodeid.partition("::")[0]
    if file.startswith(_LOADS):
        return "load"
    return _REGISTRY if file.startswith(_REGISTRY) else file
