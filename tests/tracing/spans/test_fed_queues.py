"""The queue of a batch processor is fed directly, and behaves as if it were not."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    TracerProvider,
)
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
)
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from tests.tracing.spans.span_world import NEVER_MS, Asleep, Exported, World, batch, both
from tracing.export.account import ExportAccount
from tracing.export.spans import AccountedBatchSpanProcessor
from tracing.spans.choose import span_starter
from tracing.spans.flat import FlatSpans
from tracing.testing import eventually

ROOT = Path(__file__).parents[3]


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


def test_a_full_queue_drops_the_oldest_and_logs_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The SDK leaves out a line that it has just logged, as in an earlier test.
    for repeated in logging.getLogger("opentelemetry.sdk._shared_internal").filters:
        monkeypatch.setattr(repeated, "last_log", None, raising=False)

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
from tests.tracing.spans.span_world import Exported, World, batch

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
from tests.tracing.spans.span_world import Exported, World, batch
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
