"""Every processor gets of a flat span what the SDK gives it of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from tracing.export.account import ExportAccount
from tracing.export.spans import AccountedBatchSpanProcessor
from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpan, FlatSpans, SpanPlan
from tracing.testing import eventually

ROOT = Path(__file__).parents[3]
NEVER_MS = 3_600_000

Log = list[tuple[str, str, str]]
Make = Callable[["Exported"], SpanProcessor]


class Exported(SpanExporter):
    def __init__(self) -> None:
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


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


class Asleep(threading.Event):
    """Does not awaken a thread that would empty the queue."""

    def set(self) -> None:
        """Do nothing."""


class Probe(FlatSpan):
    __slots__ = ()

    def own_attributes(self) -> dict[str, Any]:
        return {}

    def encode_own(self, fields: list[bytes]) -> None:
        """It has none."""


class World:
    """A provider whose spans are the SDK's own or flat ones."""

    def __init__(self, *processors: SpanProcessor, flat: bool = True, multi: Any = None) -> None:
        self.provider = TracerProvider(
            sampler=ALWAYS_ON, shutdown_on_exit=False, active_span_processor=multi
        )
        for processor in processors:
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("t")
        self.spans = FlatSpans.of(span_starter(self.provider)) if flat else None
        self.kind = None if self.spans is None else self.spans.kind(Probe)

    def start(self, name: str) -> Span:
        if self.spans is None or self.kind is None:
            started = self.tracer.start_span(name, Context())
            assert isinstance(started, Span)
            return started
        span: Probe = object.__new__(self.kind)
        span.plan = SpanPlan(name, SpanKind.INTERNAL, {})
        span.traceparent = self.spans.root() or b""
        span.above, span.above_is_remote = None, False
        span.start_ns, span.end_ns, span.added = 1, None, None
        start = self.spans.hand_over.start
        if start is not None:
            start(span, Context())
        return span

    def end(self, span: Span) -> None:
        if isinstance(span, Probe):
            span.finish(2)
        else:
            span.end(2)

    def run(self, *names: str) -> None:
        for name in names:
            self.end(self.start(name))


def batch(exporter: SpanExporter, size: int = 512, room: int = 2048) -> BatchSpanProcessor:
    return BatchSpanProcessor(exporter, room, NEVER_MS, size)


def both(act: Callable[[bool], Any]) -> Any:
    """Return the result with flat spans, which is that with the SDK's own."""
    expected = act(False)
    assert expected == act(True)
    return expected


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


async def test_a_batch_is_exported_as_soon_as_it_is_full() -> None:
    exported = Exported()
    world = World(batch(exported, size=3))

    world.run("a", "b")
    assert [] == exported.names
    world.run("c")
    await eventually(lambda: ["a", "b", "c"] == exported.names)
    # Awakened again, and not only once.
    world.run("d", "e", "f")
    await eventually(lambda: 6 == len(exported.names))


def test_a_full_queue_drops_the_oldest_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    def act(flat: bool) -> object:
        exported = Exported()
        processor = batch(exported, size=4, room=4)
        processor._batch_processor._worker_awaken = Asleep()
        world = World(processor, flat=flat)
        world.run(*"abcdef")
        world.provider.force_flush()
        return exported.names

    assert list("cdef") == both(act)
    assert "Queue full" in caplog.text


def test_a_span_that_is_dropped_from_a_full_queue_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", str(NEVER_MS))
    account, exported = ExportAccount(), Exported()
    processor = AccountedBatchSpanProcessor(exported, account)
    processor._batch_processor._worker_awaken = Asleep()
    world = World(processor)

    world.run(*"abcd")
    assert 0 == account.losses()["spans"]
    world.run(*"ef")
    assert 2 == account.losses()["spans"]
    world.provider.force_flush()
    assert list("cdef") == exported.names


@pytest.mark.parametrize("kind", ["the SDK's", "ours"])
def test_batch_processors_of_the_sdk_and_ours_are_fed_directly(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = Exported()
    processor: BatchSpanProcessor = batch(exported)
    if kind == "ours":
        processor = AccountedBatchSpanProcessor(exported, ExportAccount())
    world = World(processor)
    world.run("a")
    # What is changed on the class after the first look is not seen: nothing is called.
    monkeypatch.setattr(BatchSpanProcessor, "on_end", None)

    world.run("b")
    world.provider.force_flush()

    assert ["a", "b"] == exported.names


def test_a_processor_that_is_shut_down_takes_no_more() -> None:
    def act(flat: bool) -> object:
        exported = Exported()
        processor = batch(exported)
        world = World(processor, flat=flat)
        world.run("a")
        world.provider.shutdown()
        world.run("b")
        return exported.names, len(processor._batch_processor._queue)

    assert (["a"], 0) == both(act)


def test_what_is_recorded_but_not_sampled_has_no_flat_span() -> None:
    class RecordOnly(Sampler):
        def should_sample(self, *_: object, **__: object) -> SamplingResult:
            return SamplingResult(Decision.RECORD_ONLY)

        def get_description(self) -> str:
            return "RecordOnly"

    provider = TracerProvider(sampler=RecordOnly(), shutdown_on_exit=False)
    exported = Exported()
    provider.add_span_processor(batch(exported))
    starter = span_starter(provider)
    spans = FlatSpans.of(starter)
    assert spans is not None
    assert (None, None, None) == (spans.samples_roots, spans.samples_remote, spans.samples_local)

    starter.start("a", Context(), SpanKind.INTERNAL, {}).end()
    provider.force_flush()
    assert [] == exported.names


_FORK = """
import os
from tests.tracing.spans.test_hand_over import Exported, World, batch

exported = Exported()
world = World(batch(exported))
world.run("parent")
pid = os.fork()
if not pid:
    world.run("child")
    world.provider.force_flush()
    os._exit(0 if exported.names == ["child"] else 1)
child = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
world.run("later")
world.provider.force_flush()
raise SystemExit(child or exported.names != ["parent", "later"])
"""


def test_a_forked_child_has_a_queue_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", _FORK], cwd=ROOT, timeout=60, check=False)

    assert 0 == done.returncode


_FORK_WHILE_LOCKED = """
import os, signal
from tests.tracing.spans.test_hand_over import Exported, World, batch
from tracing.spans import light

world = World(batch(Exported()))
span = world.start("s")
light._lock.acquire()
pid = os.fork()
if not pid:
    signal.alarm(10)
    span.add_event("in the child")
    os._exit(0 if [event.name for event in span.events] == ["in the child"] else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_forked_child_does_not_wait_for_a_thread_that_it_lacks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORK_WHILE_LOCKED], cwd=ROOT, timeout=60, check=False
    )

    assert 0 == done.returncode
