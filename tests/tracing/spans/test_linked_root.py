"""A new trace keeps the decision of the trace that it is linked to, with any sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)
from wrapt import ObjectProxy

from tracing.spans import choose
from tracing.spans.choose import ApiSpans, span_starter

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracing.spans.starter import SpanStarter

TRACE = 0x4BF92F3577B34DA6_A3CE929D0E0E4736
LOWEST_64 = (1 << 64) - 1
RV = "6e6d1a75832a2f"

fast_or_not = pytest.mark.parametrize("fast", [True, False], ids=["fast", "plain"])


class Sequential(IdGenerator):
    """Ids with a meaning, as some backends want them."""

    def __init__(self) -> None:
        self._made = 0

    def generate_span_id(self) -> int:
        return self.generate_trace_id()

    def generate_trace_id(self) -> int:
        self._made += 1
        return self._made


class Recorded:
    def __init__(
        self, sampler: Sampler, *, fast: bool, generator: IdGenerator | None = None
    ) -> None:
        provider = TracerProvider(sampler, shutdown_on_exit=False, id_generator=generator)
        self.exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = span_starter(provider, fast=fast)

    def linked(self, follows: SpanContext, context: Context | None = None) -> SpanContext:
        return start(self.spans, follows, context).get_span_context()


def start(spans: SpanStarter, follows: SpanContext, context: Context | None = None) -> trace.Span:
    span = spans.start(
        "process t",
        context or Context(),
        SpanKind.CONSUMER,
        {"a": 1},
        (Link(follows),),
        follows=follows,
    )
    span.end()
    return span


def linked_span(
    *, sampled: bool = True, flags: int = 0, state: str = "", trace_id: int = TRACE
) -> SpanContext:
    return SpanContext(
        trace_id,
        0x00F067AA0BA902B7,
        is_remote=True,
        trace_flags=TraceFlags(flags | sampled),
        trace_state=TraceState.from_header([state]),
    )


@fast_or_not
def test_it_is_a_trace_of_its_own_that_ratio_samplers_cannot_tell_from_the_linked_one(
    fast: bool,
) -> None:
    recorded = Recorded(ALWAYS_ON, fast=fast)

    contexts = [recorded.linked(linked_span()) for _ in range(3)]

    assert 4 == len({TRACE, *(context.trace_id for context in contexts)})
    assert {TRACE & LOWEST_64} == {context.trace_id & LOWEST_64 for context in contexts}
    spans = recorded.exporter.get_finished_spans()
    assert [None] * 3 == [span.parent for span in spans]
    assert [TRACE] * 3 == [link.context.trace_id for span in spans for link in span.links]


@fast_or_not
@pytest.mark.parametrize("linked", [1, 1 << 64, (1 << 64) + 1])
def test_even_an_unlikely_trace_id_gives_another_valid_one(linked: int, fast: bool) -> None:
    generator = RandomIdGenerator()
    generator.generate_trace_id = lambda: linked  # type: ignore[method-assign]  # not random
    recorded = Recorded(ALWAYS_ON, fast=fast, generator=generator)

    context = recorded.linked(linked_span(trace_id=linked))

    assert context.is_valid
    assert linked != context.trace_id
    assert linked & LOWEST_64 == context.trace_id & LOWEST_64


@fast_or_not
@pytest.mark.parametrize(
    ("sampler", "sampled", "kept"),
    [
        (ALWAYS_ON, False, True),
        (ALWAYS_OFF, True, False),
        (ParentBased(ALWAYS_ON), False, False),
        (ParentBased(ALWAYS_OFF), True, True),
        (ParentBased(TraceIdRatioBased(0)), True, True),
        (ParentBased(TraceIdRatioBased(1)), False, False),
        (ParentBased(ALWAYS_ON, remote_parent_not_sampled=TraceIdRatioBased(1)), False, True),
        (ParentBased(ALWAYS_ON, remote_parent_sampled=TraceIdRatioBased(0)), True, False),
    ],
    ids=lambda value: value.get_description() if isinstance(value, Sampler) else None,
)
def test_the_sampler_decides_as_for_a_child(
    sampler: Sampler, sampled: bool, kept: bool, fast: bool
) -> None:
    recorded = Recorded(sampler, fast=fast)

    context = recorded.linked(linked_span(sampled=sampled))

    assert kept == bool(recorded.exporter.get_finished_spans())
    assert kept == context.trace_flags.sampled
    assert context.is_valid
    assert TRACE != context.trace_id


class Asked(Sampler):
    """Notes what it is asked, and answers."""

    def __init__(self, answer: Callable[[SpanContext], SamplingResult]) -> None:
        self._answer = answer
        self.calls: list[tuple[Any, ...]] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        self.calls.append((parent, trace_id, name, kind, dict(attributes or {}), len(links or ())))
        return self._answer(parent)

    def get_description(self) -> str:
        return "Asked"


@fast_or_not
def test_a_sampler_of_ones_own_sees_the_linked_span_and_what_the_new_one_is(fast: bool) -> None:
    sampler = Asked(lambda _: SamplingResult(Decision.RECORD_AND_SAMPLE, {"by": "me"}))
    recorded = Recorded(sampler, fast=fast)
    follows = linked_span(state="vendor=1")

    recorded.linked(follows)

    assert [(follows, TRACE, "process t", SpanKind.CONSUMER, {"a": 1}, 1)] == sampler.calls
    (span,) = recorded.exporter.get_finished_spans()
    assert {"by": "me"} == dict(span.attributes or {})


@fast_or_not
def test_recording_without_sampling_is_possible(fast: bool) -> None:
    recorded = Recorded(Asked(lambda _: SamplingResult(Decision.RECORD_ONLY)), fast=fast)

    span = recorded.spans.start("n", Context(), SpanKind.CONSUMER, {}, follows=linked_span())

    assert span.is_recording()
    assert not span.get_span_context().trace_flags.sampled


@fast_or_not
@pytest.mark.parametrize("random", [True, False])
def test_the_random_flag_is_that_of_the_linked_trace_whose_bits_it_has(
    random: bool, fast: bool
) -> None:
    recorded = Recorded(ALWAYS_ON, fast=fast)

    context = recorded.linked(linked_span(flags=2 if random else 0))

    assert random == bool(context.trace_flags & 2)


@fast_or_not
@pytest.mark.parametrize(
    ("linked", "sampled", "state"),
    [
        ("", True, ""),
        ("vendor=1", True, ""),
        (f"ot=rv:{RV}", True, f"ot=rv:{RV}"),
        (f"ot=rv:{RV}", False, f"ot=rv:{RV}"),
        (f"vendor=1,ot=th:6;rv:{RV}", True, f"ot=th:6;rv:{RV}"),
        (f"ot=th:7;rv:{RV}", True, f"ot=rv:{RV}"),
        (f"ot=th:6;rv:{RV}", False, f"ot=rv:{RV}"),
        ("ot=th:c", True, "ot=th:c"),
        ("ot=th:d", True, ""),
        ("ot=th:8;p:8", True, "ot=th:8;p:8"),
        ("ot=rv:1234", True, ""),
    ],
)
def test_of_the_linked_traces_state_only_what_decides_on_sampling_goes_along(
    linked: str, sampled: bool, state: str, fast: bool
) -> None:
    recorded = Recorded(ParentBased(ALWAYS_ON), fast=fast)
    # Its lowest 56 bits begin with ce.
    context = recorded.linked(linked_span(sampled=sampled, state=linked))

    assert state == context.trace_state.to_header()


@fast_or_not
def test_what_the_sampler_itself_writes_into_the_state_is_kept(fast: bool) -> None:
    def answer(parent: SpanContext) -> SamplingResult:
        state = parent.trace_state.update("mine", "2").update("ot", f"rv:{RV};th:0")
        return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=state)

    recorded = Recorded(Asked(answer), fast=fast)

    context = recorded.linked(linked_span(state="vendor=1,mine=1"))

    assert f"ot=rv:{RV};th:0,mine=2" == context.trace_state.to_header()


@fast_or_not
def test_a_state_that_is_full_keeps_what_decides_on_sampling(fast: bool) -> None:
    def answer(_: SpanContext) -> SamplingResult:
        state = TraceState([(f"mine{number}", "1") for number in range(32)])
        return SamplingResult(Decision.RECORD_AND_SAMPLE, trace_state=state)

    recorded = Recorded(Asked(answer), fast=fast)

    context = recorded.linked(linked_span(state=f"ot=rv:{RV}"))

    assert 32 == len(context.trace_state)
    assert f"rv:{RV}" == context.trace_state.get("ot")


@fast_or_not
def test_ids_of_ones_own_generator_stay_and_the_randomness_goes_along_beside_them(
    fast: bool,
) -> None:
    recorded = Recorded(ParentBased(ALWAYS_OFF), fast=fast, generator=Sequential())

    contexts = [recorded.linked(linked_span(flags=2)) for _ in range(2)]
    explicit = recorded.linked(linked_span(state=f"ot=rv:{RV}"))

    assert [1, 3] == [context.trace_id for context in contexts]
    assert [TraceFlags(1)] * 2 == [context.trace_flags for context in contexts]
    assert ["ot=rv:ce929d0e0e4736"] * 2 == [context.trace_state.to_header() for context in contexts]
    assert f"ot=rv:{RV}" == explicit.trace_state.to_header()


@fast_or_not
def test_below_a_parent_the_parent_decides(fast: bool) -> None:
    recorded = Recorded(ParentBased(ALWAYS_OFF), fast=fast)
    parent = linked_span(sampled=False, trace_id=7)
    context = set_span_in_context(NonRecordingSpan(parent), Context())

    child = recorded.linked(linked_span(), context)

    assert (7, False) == (child.trace_id, child.trace_flags.sampled)


@fast_or_not
def test_a_tracer_that_is_switched_off_starts_nothing(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert not Recorded(ALWAYS_ON, fast=fast).linked(linked_span()).is_valid


def test_a_provider_that_is_set_later_decides_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = span_starter(trace.ProxyTracerProvider())
    assert not start(spans, linked_span()).get_span_context().is_valid

    provider = TracerProvider(ParentBased(ALWAYS_ON), shutdown_on_exit=False)
    monkeypatch.setattr(choose, "get_tracer_provider", lambda: provider)

    contexts = [
        start(spans, linked_span(sampled=kept)).get_span_context() for kept in (False, True)
    ]
    assert [False, True] == [context.trace_flags.sampled for context in contexts]
    assert {TRACE & LOWEST_64} == {context.trace_id & LOWEST_64 for context in contexts}


def test_another_libraries_provider_decides_alone_and_is_left_as_it_is() -> None:
    real = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False).get_tracer("t")
    before = dict(vars(real))

    proxy: Any = ObjectProxy(real)

    spans = ApiSpans(proxy)

    assert not start(spans, linked_span()).get_span_context().trace_flags.sampled
    assert before == vars(real)
