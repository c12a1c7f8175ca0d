"""`Retry` alone: the errors that it retries, its delays, and the options that it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracing import Retry
from tracing.delivery.retry import retryable

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_broken_jitter_takes_the_longest_delay() -> None:
    def broken(_longest: float) -> float:
        raise ZeroDivisionError

    assert 2 == Retry(delay_s=1, factor=2, jitter=broken).delay_after(2)


@given(st.integers(1, 200), st.floats(0, 100), st.floats(1, 10), st.floats(0, 1000))
def test_a_delay_is_never_longer_than_its_bound(
    attempt: int, delay_s: float, factor: float, max_delay_s: float
) -> None:
    retry = Retry(attempts=200, delay_s=delay_s, factor=factor, max_delay_s=max_delay_s)

    assert 0 <= retry.delay_after(attempt) <= max_delay_s


def test_delays_grow_exponentially_up_to_their_bound() -> None:
    retry = Retry(delay_s=1, factor=2, max_delay_s=5, jitter=lambda longest: longest)

    assert [1, 2, 4, 5, 5] == [retry.delay_after(attempt) for attempt in range(1, 6)]


def test_undecodable_bytes_are_not_retried() -> None:
    def error_of(work: Callable[[], object]) -> Exception:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one is what we ask
            work()
        return caught.value

    unreadable = (error_of(b"\xff".decode), error_of(lambda: json.loads("{")))

    assert [False, False] == [retryable(error) for error in unreadable]
    assert [True, True] == [retryable(error) for error in (ValueError("x"), ConnectionError())]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["delay_s", "max_delay_s", "factor"])
def test_a_delay_that_would_never_end_is_refused(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} must be finite"):
        Retry(**options)


@pytest.mark.parametrize("name", ["attempts", "delay_s", "max_delay_s", "factor"])
@pytest.mark.parametrize("value", ["3", None])
def test_an_option_that_is_no_number_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be"):
        Retry(**{name: value})


def test_attempts_must_be_whole_numbers() -> None:
    with pytest.raises(TypeError, match="attempts must be an int"):
        Retry(attempts=2.5)  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"delay_s": -1}, {"max_delay_s": -1}, {"factor": 0.5}]
)
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Retry(**options)
