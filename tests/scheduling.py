"""Divide the tests among several processes, and make their reports safe to send (`pytest -n`)."""

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


def utf8(value: object) -> object:
    """Escape the parts of a report that UTF-8 cannot encode: processes exchange only UTF-8.

    Tests log lone surrogates on purpose, and pytest's reports contain the logs.
    """
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {utf8(key): utf8(each) for key, each in value.items()}
        case list() | tuple():
            return type(value)(utf8(each) for each in value)
        case _:
            return value
