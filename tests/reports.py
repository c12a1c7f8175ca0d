"""Reports of tests: one that cannot be built fails its test, and all can be sent (`pytest -n`)."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES = 8
"""How many of the innermost frames are shown: the outer ones are pytest's own."""


def plain_report(
    item: pytest.Item, call: pytest.CallInfo[None], fault: Exception
) -> pytest.TestReport:
    """Return the report of a failed test whose error cannot be shown; `fault` says why.

    Some tests raise errors that refuse to be inspected. If one of them is the cause of a failure,
    pytest cannot show it and would end the whole run.
    """
    lines = [f"pytest cannot show this failure: {type(fault).__name__}: {fault}\n"]
    if call.excinfo is not None:
        for error in _chain(call.excinfo.value):
            lines.append(f"\n{type(error).__qualname__}: {_message(error)}, raised at:\n")
            lines += traceback.format_tb(error.__traceback__, limit=-FRAMES)
    return pytest.TestReport(
        nodeid=item.nodeid,
        location=item.location,
        keywords=dict.fromkeys(item.keywords, 1),
        outcome="failed",
        longrepr="".join(lines),
        when="call" if call.when == "collect" else call.when,
        sections=[],
        duration=call.duration,
        start=call.start,
        stop=call.stop,
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as fault:
        return f"no message ({type(fault).__name__})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ if error.__cause__ is not None else error.__context__


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
