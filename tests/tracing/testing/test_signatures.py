"""The doubles have every public method of aiokafka's clients, parameter by parameter."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

PROTOCOLS = {"__aenter__", "__aexit__", "__aiter__", "__anext__"}
BATCH = type(InMemoryProducer(InMemoryBroker()).create_batch())


def public_methods(kind: type[Any]) -> list[str]:
    return [
        name
        for name in dir(kind)
        if (name in PROTOCOLS or not name.startswith("_")) and callable(getattr(kind, name))
    ]


def parameters(method: Any, *, defaults: bool) -> list[tuple[Any, ...]]:
    return [
        (each.name, each.kind, each.default if defaults else each.default is each.empty)
        for each in inspect.signature(method).parameters.values()
    ]


METHODS = [
    pytest.param(double, original, name, id=f"{original.__name__}.{name}")
    for double, original in (
        (InMemoryProducer, AIOKafkaProducer),
        (InMemoryConsumer, AIOKafkaConsumer),
    )
    for name in public_methods(original)
]


@pytest.mark.parametrize(("double", "original", "name"), METHODS)
def test_a_method_has_the_parameters_of_aiokafkas(
    double: type[Any], original: type[Any], name: str
) -> None:
    expected, actual = getattr(original, name), getattr(double, name)

    assert parameters(expected, defaults=True) == parameters(actual, defaults=True)
    assert inspect.iscoroutinefunction(expected) == inspect.iscoroutinefunction(actual)


@pytest.mark.parametrize("name", public_methods(BatchBuilder))
def test_a_batch_has_the_methods_of_aiokafkas_builder(name: str) -> None:
    # Without the values of defaults: aiokafka's default for headers is a mutable list.
    expected, actual = getattr(BatchBuilder, name), getattr(BATCH, name)

    assert parameters(expected, defaults=False) == parameters(actual, defaults=False)


def test_all_methods_are_compared() -> None:
    assert 40 < len(METHODS)
    assert {"append", "close", "closed", "record_count", "size"} == set(
        public_methods(BatchBuilder)
    )


def test_extra_parameters_of_the_doubles_are_keyword_only_except_the_broker() -> None:
    producer = parameters(InMemoryProducer.__init__, defaults=False)

    assert ["self", "broker"] == [
        name for name, kind, _ in producer if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    ]
    options = inspect.signature(InMemoryConsumer).parameters
    aiokafkas = inspect.signature(AIOKafkaConsumer).parameters
    assert {"broker"} == set(options) - set(aiokafkas)
    assert "latest" == options["auto_offset_reset"].default
    assert options["enable_auto_commit"].default is True
