"""The library's public errors name their public module, and can be copied and pickled."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

import tracing
from tracing.core.semconv import error_type
from tracing.messaging.unreadable import BrokenRecord
from tracing.schemas.errors import undecodable, unknown

ERRORS = [
    tracing.Rejected("card declined"),
    tracing.Unprocessable("not JSON"),
    undecodable("orders[0] offset 3", "value", 7, ("orders-value", 2), None, ValueError("secret")),
    unknown("orders[0] offset 3", "value", 7, None),
    tracing.UnreadableRecord(
        BrokenRecord(
            topic="t", partition=0, offset=3, next_offset=4, timestamp=-1, value=b"x",
            problem="bad length",
        ),
        "; skip it",
    ),
]  # fmt: skip


def pickled(error: Exception) -> object:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - its own


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_names_the_module_that_exports_it(error: Exception) -> None:
    assert f"tracing.{type(error).__name__}" == error_type(error)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_of_an_error_says_the_same(error: Exception, duplicate: object) -> None:
    assert callable(duplicate)
    copied = duplicate(error)

    assert (type(error), str(error), vars(error)) == (type(copied), str(copied), vars(copied))


def test_a_process_that_has_not_imported_the_library_can_unpickle_its_errors() -> None:
    load = "import pickle, sys; print(*pickle.load(sys.stdin.buffer), sep='\\n')"

    answer = subprocess.run(
        [sys.executable, "-c", load], input=pickle.dumps(ERRORS), capture_output=True, check=True
    )

    assert [str(error) for error in ERRORS] == answer.stdout.decode().splitlines()
