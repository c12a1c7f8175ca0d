"""The wrappers have every public name of aiokafka's clients, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tracing import TracedConsumer, TracedProducer
from tracing.batch import TracedBatch

PAIRS = [
    (TracedProducer, AIOKafkaProducer),
    (TracedConsumer, AIOKafkaConsumer),
    (TracedBatch, BatchBuilder),
]


def own_methods(wrapper: type[Any], wrapped: type[Any]) -> list[str]:
    return [
        name
        for name in vars(wrapper)
        if not name.startswith("_") and callable(getattr(wrapped, name, None))
    ]


METHODS = [
    pytest.param(wrapper, wrapped, name, id=f"{wrapped.__name__}.{name}")
    for wrapper, wrapped in PAIRS
    for name in own_methods(wrapper, wrapped)
]


@pytest.mark.parametrize(("wrapper", "wrapped", "name"), METHODS)
def test_a_methods_parameters_have_the_same_names_order_and_kinds(
    wrapper: type[Any], wrapped: type[Any], name: str
) -> None:
    expected = inspect.signature(getattr(wrapped, name)).parameters
    actual = inspect.signature(getattr(wrapper, name)).parameters

    assert [(p.name, p.kind) for p in expected.values()] == [
        (p.name, p.kind) for p in actual.values()
    ]
    assert [bool(p.default is p.empty) for p in expected.values()] == [
        bool(p.default is p.empty) for p in actual.values()
    ]
    assert inspect.iscoroutinefunction(getattr(wrapped, name)) == inspect.iscoroutinefunction(
        getattr(wrapper, name)
    )


@pytest.mark.parametrize(("wrapper", "wrapped"), PAIRS[:2])
async def test_every_public_name_is_there(wrapper: type[Any], wrapped: type[Any]) -> None:
    inner = object.__new__(wrapped)
    outer = object.__new__(wrapper)
    outer.__dict__["_producer"] = outer.__dict__["_consumer"] = inner

    public = [name for name in dir(wrapped) if not name.startswith("_")]

    assert [] == [name for name in public if not callable(getattr(outer, name))]
    assert len(public) > 10
