"""The flat path is decided once for each telemetry, by what can be known in advance."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NoOpTracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tracing import Telemetry
from tracing.core.otel_context import context_variable
from tracing.messaging.flat.engine import engine_of, why_not


class _OwnIds(RandomIdGenerator):
    pass


class _OwnContext(ContextVarsRuntimeContext):
    pass


def _telemetry(provider: Any = None, **options: Any) -> Telemetry:
    return Telemetry("orders", tracer_provider=provider or TracerProvider(), **options)


def test_a_stock_sdk_has_an_engine_which_is_always_the_same() -> None:
    telemetry = _telemetry()
    engine = engine_of(telemetry)

    assert engine is not None
    assert why_not(telemetry) is None
    assert engine is engine_of(telemetry)
    assert {"send": 0, "process": 0, "batch": 0} == engine.taken
    assert not any(engine.fallbacks.values())


@pytest.mark.parametrize(
    "sampler",
    [ALWAYS_ON, ALWAYS_OFF, ParentBased(ALWAYS_ON), ParentBased(TraceIdRatioBased(0.5))],
)
def test_samplers_that_decide_by_the_parent_have_an_engine(sampler: Sampler) -> None:
    assert engine_of(_telemetry(TracerProvider(sampler=sampler))) is not None


@pytest.mark.parametrize(
    "name",
    ["always_on", "always_off", "parentbased_always_on", "parentbased_always_off",
     "parentbased_traceidratio"],
)  # fmt: skip
def test_so_have_those_that_the_environment_names(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.05")

    assert why_not(_telemetry(TracerProvider())) is None


@pytest.mark.parametrize(
    ("telemetry", "reason"),
    [
        (_telemetry(fast=False), "fast paths"),
        (_telemetry(NoOpTracerProvider()), "provider"),
        (_telemetry(TracerProvider(sampler=TraceIdRatioBased(0.5))), "sampler"),
        (
            _telemetry(
                TracerProvider(
                    sampler=ParentBased(ALWAYS_ON, local_parent_sampled=TraceIdRatioBased(0.5))
                )
            ),
            "sampler",
        ),
        (_telemetry(TracerProvider(id_generator=_OwnIds())), "ids"),
        (_telemetry(propagator=TraceContextTextMapPropagator()), "propagator"),
        (_telemetry(propagator=CompositePropagator([])), "propagator"),
        (_telemetry(message_keys=True), "message_keys"),
        (_telemetry(body_sizes=True), "body_sizes"),
        (_telemetry(message_type=lambda _message: "OrderPlaced"), "message_type"),
    ],
)
def test_what_has_to_be_asked_for_every_message_has_no_engine(
    telemetry: Telemetry, reason: str
) -> None:
    assert engine_of(telemetry) is None
    assert reason in (why_not(telemetry) or "")


def test_the_environment_turns_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "off")
    telemetry = _telemetry()
    assert engine_of(telemetry) is None
    assert "off" in (why_not(telemetry) or "")

    monkeypatch.setenv("PIPELINE_TRACING_FLAT", "on")
    assert engine_of(telemetry) is None  # decided
    assert engine_of(_telemetry()) is not None


def test_a_context_of_another_kind_has_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_api, "_RUNTIME_CONTEXT", _OwnContext())

    assert context_variable() is None
    assert engine_of(_telemetry()) is None


def test_the_variable_is_the_current_context() -> None:
    variable = context_variable()
    assert variable is not None
    before = context_api.get_current()

    attached = Context({"name": "value"})
    token = context_api.attach(attached)
    assert attached is variable.get()
    context_api.detach(token)

    assert before is variable.get()
