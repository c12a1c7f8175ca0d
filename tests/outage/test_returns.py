from __future__ import annotations

from itertools import groupby, islice

from tests.outage.returns_service import failures


def test_one_in_ten_fails_once_or_twice() -> None:
    runs = [(failed, len(list(each))) for failed, each in groupby(islice(failures(), 46))]

    assert [(False, 10), (True, 1), (False, 10), (True, 2)] * 2 == runs
