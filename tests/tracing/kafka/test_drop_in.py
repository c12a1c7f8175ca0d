"""The wrappers have every public name of aiokafka's clients, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import AsyncMock, create_autospec

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from tracing import Telemetry, TracedConsumer, TracedProducer
from tracing.kafka.batch import TracedBatch

PAIRS = [
    (TracedProducer, AIOKafkaProducer),
    (TracedConsumer, AIOKafkaConsumer),
    (TracedBatch, BatchBuilder),
]


ADDED = {
    TracedProducer: {"telemetry", "wrapped"},
    TracedConsumer: {"addressed_elsewhere", "process", "process_batch", "telemetry", "wrapped"},
    TracedBatch: {"wrapped"},
}
"""The public names of a wrapper that aiokafka's class does not have; all are documented."""

PROTOCOLS = {"__aenter__", "__aexit__", "__aiter__", "__anext__"}


def public_methods(kind: type[Any]) -> list[str]:
    return [
        name
        for name in dir(kind)
        if (name in PROTOCOLS or not name.startswith("_")) and callable(getattr(kind, name))
    ]


def made(kind: type[Any]) -> Any:
    return kind(1, 0) if kind is BatchBuilder else kind()


def own_attributes(kind: type[Any]) -> set[str]:
    """What the classes of this project give it, and no `__getattr__`."""
    return {name for base in kind.__mro__ if base is not object for name in vars(base)}


METHODS = [
    pytest.param(wrapper, wrapped, name, id=f"{wrapped.__name__}.{name}")
    for wrapper, wrapped in PAIRS
    for name in public_methods(wrapped)
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


@pytest.mark.parametrize(("wrapper", "wrapped"), PAIRS)
def test_no_public_name_of_aiokafka_is_reached_by_getattr_alone(
    wrapper: type[Any], wrapped: type[Any]
) -> None:
    assert [] == [name for name in public_methods(wrapped) if name not in own_attributes(wrapper)]
    assert len(public_methods(wrapped)) >= 5


@pytest.mark.parametrize(("wrapper", "wrapped"), PAIRS)
async def test_the_public_names_that_a_wrapper_adds_are_listed(
    wrapper: type[Any], wrapped: type[Any], telemetry: Telemetry
) -> None:
    inner = made(wrapped)
    outer = wrapper(inner, telemetry)
    public = {name for name in {*dir(type(outer)), *vars(outer)} if not name.startswith("_")}

    inner._closed = True  # so that it is not reported as left open
    assert ADDED[wrapper] == public - {*dir(wrapped), *vars(inner)}
    assert ADDED[wrapper] == wrapper._added


@pytest.mark.parametrize(("wrapper", "wrapped"), PAIRS)
async def test_no_private_name_of_aiokafka_means_something_else_on_the_wrapper(
    wrapper: type[Any], wrapped: type[Any], telemetry: Telemetry
) -> None:
    inner = made(wrapped)
    outer = wrapper(inner, telemetry)
    theirs = {*own_attributes(wrapped), *vars(inner)}
    ours = {*own_attributes(wrapper), *vars(outer)}

    shared = {name for name in ours & theirs if name.startswith("_") and not name.endswith("__")}

    inner._closed = True  # so that it is not reported as left open
    assert set() == shared


@pytest.mark.parametrize(("wrapper", "wrapped"), PAIRS)
def test_a_mock_with_the_wrapper_as_its_spec_has_every_method(
    wrapper: type[Any], wrapped: type[Any]
) -> None:
    mock = AsyncMock(spec=wrapper)

    for name in public_methods(wrapped):
        if name not in PROTOCOLS:
            assert inspect.iscoroutinefunction(getattr(wrapped, name)) == (
                inspect.iscoroutinefunction(getattr(mock, name))
            )
    assert isinstance(mock, wrapper)


def test_an_autospec_of_the_wrapper_checks_arguments_as_aiokafkas_methods_do() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'topic'"):
        create_autospec(TracedProducer, instance=True).send(value=b"v")
