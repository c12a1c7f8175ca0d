"""Which process runs which tests, and how it reports, where several share them (`pytest -n`)."""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

_LOADS: Final = (
    "tests/chaos/",
    "tests/dashboards/test_on_prometheus.py",
)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # untyped
    """Gives out whole files, and those that load the machine one after the other.

    Two of them at once are more than a small machine can bear beside everything else.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return the name that the tests of one process's share have in common."""
    file = nodeid.partition("::")[0]
    return "load" if file.startswith(_LOADS) else file


def utf8(value: object) -> object:
    """Replace what UTF-8 cannot say in a report: processes exchange nothing else.

    Tests log lone surrogates on purpose, and pytest reports what was logged.
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
