"""Which process runs which tests, where several share them (`pytest -n`)."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_LOADS: Final = (
    "tests/chaos/",
    "tests/dashboards/test_on_prometheus.py",
    "tests/demo/test_lag_adds_up.py",
    "tests/demo/test_run.py",
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Gives out whole files, and those that run whole shops under load one after the other.

    Two of them at once are more than a small machine can bear beside everything else.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "load" if file.startswith(_LOADS) else file
