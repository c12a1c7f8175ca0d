"""Every processor gets of a flat span what the SDK gives it of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanProcessor,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
)

from tests.tracing.spans.span_world import NEVER_MS, Exported, World, batch, both

Log = list[tuple[str, str, str]]
Make = Callable[["Exported"], SpanProcessor]


class Recorder(SpanProcessor):
    """Notes its calls."""

    def __init__(self, name: str, log: Log) -> None:
        self.name = name
        self.log = log

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        assert parent_context is not None
        self.log.append((self.name, "on_start", span.name))

    def _on_ending(self, span: Span) -> None:
        self.log.append((self.name, "_on_ending", span.name))

    def on_end(self, span: ReadableSpan) -> None:
        assert span.end_time is not None
        self.log.append((self.name, "on_end", span.name))


class OnlyEnds(SpanProcessor):
    def __init__(self, log: Log) -> None:
        self.log = log

    def on_end(self, span: ReadableSpan) -> None:
        self.log.append(("only", "on_end", span.name))


class OwnBatch(BatchSpanProcessor):
    """Exports what it likes."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.name != "b":
            super().on_end(span)


def test_processors_of_the_users_own_get_every_call_in_order() -> None:
    def act(flat: bool) -> object:
        log: Log = []
        exported = Exported()
        world = World(
            Recorder("1", log), batch(exported), OnlyEnds(log), Recorder("2", log), flat=flat
        )
        world.run("a", "b")
        world.provider.force_flush()
        return log, exported.names

    log, exported = both(act)
    assert 14 == len(log)
    assert ["a", "b"] == exported


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (batch, ["a", "b", "c"]),
        (SimpleSpanProcessor, ["a", "b", "c"]),
        (lambda exporter: OwnBatch(exporter, 2048, NEVER_MS), ["a", "c"]),
    ],
)
def test_every_span_reaches_the_exporter_in_order(make: Make, expected: list[str]) -> None:
    def act(flat: bool) -> object:
        exported = Exported()
        world = World(make(exported), flat=flat)
        world.run("a", "b", "c")
        world.provider.force_flush()
        return exported.names

    assert expected == both(act)


def test_a_processor_needs_neither_the_sdks_class_nor_attributes() -> None:
    class Duck:
        __slots__ = ("log",)

        def __init__(self, log: Log) -> None:
            self.log = log

        on_start, _on_ending, on_end = Recorder.on_start, Recorder._on_ending, Recorder.on_end
        name = "duck"

    def act(flat: bool) -> object:
        log: Log = []
        World(Duck(log), flat=flat).run("a")  # type: ignore[arg-type]  # it only quacks
        return log

    assert 3 == len(both(act))


def test_processors_run_in_parallel_where_the_provider_runs_them_so() -> None:
    def act(flat: bool) -> object:
        log: Log = []
        multi = ConcurrentMultiSpanProcessor()
        world = World(Recorder("1", log), Recorder("2", log), flat=flat, multi=multi)
        world.run("a", "b")
        return sorted(log)

    assert 12 == len(both(act))


def test_a_processor_that_is_added_later_gets_all_from_then_on() -> None:
    def act(flat: bool) -> object:
        log: Log = []
        exported = Exported()
        world = World(flat=flat)
        world.run("a")
        late = world.start("b")
        world.provider.add_span_processor(Recorder("1", log))
        world.provider.add_span_processor(batch(exported))
        world.end(late)
        world.run("c")
        world.provider.force_flush()
        return log, exported.names

    log, exported = both(act)
    assert [("1", "_on_ending", "b"), ("1", "on_end", "b")] == log[:2]
    assert ["b", "c"] == exported


@pytest.mark.parametrize("method", ["on_start", "_on_ending", "on_end"])
def test_what_a_processor_raises_is_raised_and_those_after_it_are_left_out(method: str) -> None:
    class Fails(SpanProcessor):
        pass

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(method)

    setattr(Fails, method, fail)

    def act(flat: bool) -> object:
        log: Log = []
        exported = Exported()
        world = World(batch(exported), Fails(), Recorder("2", log), flat=flat)
        with pytest.raises(RuntimeError, match=method):
            world.run("a")
        world.provider.force_flush()
        return log, exported.names

    both(act)


def test_a_method_that_is_put_on_a_batch_processor_is_called() -> None:
    def act(flat: bool) -> object:
        names: list[str] = []
        processor = batch(Exported())
        processor.on_end = lambda span: names.append(span.name)  # type: ignore[method-assign]
        world = World(processor, flat=flat)
        world.run("a")
        return names

    assert ["a"] == both(act)
