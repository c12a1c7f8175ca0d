"""A flat handling restores the context from before it, and lets go of its own."""

from __future__ import annotations

import asyncio
import gc
import weakref

from opentelemetry.context import Context, get_current

from tracing.core.otel_context import PROCESSING_KEY, context_variable
from tracing.messaging.flat.handling import FlatHandling


class Handled(FlatHandling):
    """A handling without a record."""

    def __init__(self, name: str) -> None:
        self.entered = Context({**get_current(), "name": name, PROCESSING_KEY: self})
        assert variable is not None
        self.token = variable.set(self.entered)


found = context_variable()
assert found is not None
variable = found


def name() -> object:
    return get_current().get("name")


async def test_leaving_in_order_restores_the_context_from_before() -> None:
    outer, inner = Handled("outer"), Handled("inner")

    inner.detach(variable)
    assert "outer" == name()
    outer.detach(variable)
    assert name() is None
    assert outer.left_behind(get_current(), asyncio.current_task()) is None


async def test_a_context_whose_handling_ended_first_is_known_to_be_left_behind() -> None:
    task = asyncio.current_task()
    first, second = Handled("first"), Handled("second")
    before_second = second.token.old_value if second.token else None
    assert isinstance(before_second, Context)

    first.detach(variable)
    second.detach(variable)

    assert "first" == name()
    before = first.left_behind(before_second, task)
    assert before is not None
    assert before.get("name") is None
    assert first.left_behind(before_second, None) is None
    assert first.left_behind(Context({**before_second}), task) is None


async def test_another_tasks_context_stays_as_it_is() -> None:
    handled = Handled("own")

    async def elsewhere() -> None:
        assert not handled.handled_here(variable)
        handled.detach(variable)

    assert handled.handled_here(variable)
    await asyncio.create_task(elsewhere())
    assert "own" == name()


async def test_a_handling_that_was_left_refers_to_no_context() -> None:
    gc.disable()
    try:
        handled = Handled("own")
        gone = weakref.ref(handled)
        handled.detach(variable)
        del handled
        assert gone() is None
    finally:
        gc.enable()
