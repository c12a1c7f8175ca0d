"""Attributes of the SDK's span that a flat span makes when something reads them."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class OfPlan:
    """An attribute of the SDK's span that comes from the plan, unless something replaces it.

    Args:
        name: The plan's attribute.
    """

    def __init__(self, name: str) -> None:
        self._of_plan = attrgetter(name)

    def __get__(self, span: Any, owner: type | None = None) -> Any:
        return self if span is None else self._of_plan(span.plan)


class OnDemand:
    """An attribute of the SDK's span that is made when it is first read, unless replaced.

    It is kept in a slot, which only this class reads: a span whose dictionary is empty is one of
    which nothing was replaced.

    Args:
        slot: The slot's name.
        make: Makes the value for a span.
    """

    def __init__(self, slot: str, make: Callable[[Any], object]) -> None:
        self._slot = slot
        self._make = make

    def __get__(self, span: Any, owner: type | None = None) -> Any:
        if span is None:
            return self
        try:
            return getattr(span, self._slot)
        except AttributeError:
            # Two threads make equal values.
            value = self._make(span)
            setattr(span, self._slot, value)
            return value
