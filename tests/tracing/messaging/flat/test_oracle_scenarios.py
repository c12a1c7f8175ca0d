"""Whatever happens, the flat path gives what the general code gives: to the byte."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tracing.messaging.flat.oracle_compare import differences
from tests.tracing.messaging.flat.oracle_scenario import Message, Reading, Scenario, Setup
from tests.tracing.messaging.flat.oracle_strategies import scenarios
from tracing.metrics.message_types import MAX_MESSAGE_TYPES, MAX_OTHER_TYPES

_EXAMPLES: Final = int(os.environ.get("ORACLE_EXAMPLES", "50"))
"""How many scenarios are run; raise it to search."""


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(
    max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck),
    print_blob=True,
)  # fmt: skip
@given(scenarios())
def test_the_same_comes_out_with_and_without_the_flat_path(scenario: Scenario) -> None:
    assert [] == differences(scenario)


def test_a_span_that_was_read_keeps_its_flows_lag() -> None:
    flow = (("baggage", b"pipeline.name=orders,pipeline.origin=1799999999000"),)
    scenario = Scenario(
        setup=Setup(processors=("simple", "reader")),
        records=(Message(headers=flow),),
        handlers=((("advance", 5),),),
    )

    assert [] == differences(scenario)


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "baggage", "ce_type", "ce_id"])
def test_a_header_without_a_value_counts_as_it_always_did(name: str) -> None:
    scenario = Scenario(records=(Message(headers=((name, None),)),), reading="getone")

    assert [] == differences(scenario)


def test_a_send_without_telemetry_makes_no_series() -> None:
    scenario = Scenario(before=(("inside", "suppressed", (("send", Message(topic="quiet")),)),))

    assert [] == differences(scenario)


_TYPES: Final = MAX_MESSAGE_TYPES + MAX_OTHER_TYPES
_TOPICS: Final = tuple(f"orders-{number:03}" for number in range(MAX_MESSAGE_TYPES + 2))
_EVENT: Final = (("ce_id", b"e-1"), ("ce_subject", b"o-1"))


@pytest.mark.parametrize(
    ("processor", "reading"),
    [("simple", "for"), ("accounted", "consume"), ("touching", "getone"), ("own_batch", "batches")],
)
def test_more_topics_than_types_have_labels_are_the_same(processor: str, reading: Reading) -> None:
    """The topic is the type of what names none: each has its own, but few have a series."""
    messages = [
        Message(topic=topic, headers=headers, value=value)
        for topic in _TOPICS[-3:]
        for headers, value in ((None, b"v"), (_EVENT, None))
    ]
    named = [Message(topic=topic, headers=None) for topic in _TOPICS]
    scenario = Scenario(
        setup=Setup(processors=(processor,)),
        before=(*(("send", message) for message in (*named, *messages)), ("collect",)),
        records=tuple(
            Message(topic=each.topic, headers=(("ce_type", each.topic.encode()),), value=each.value)
            for each in messages
        ),
        handlers=((("forward", Message(topic="next")),), ()),
        reading=reading,
    )

    assert [] == differences(scenario)


@pytest.mark.parametrize("reading", ["for", "batch_again"])
def test_more_types_in_a_topic_than_have_values_of_their_own_are_the_same(
    reading: Reading,
) -> None:
    typed = [(("ce_type", b"Type-%d" % number),) for number in range(_TYPES + 3)]
    records = tuple(Message(headers=headers) for headers in typed for _ in range(2))
    scenario = Scenario(
        before=tuple(("send", Message(headers=headers)) for headers in (*typed, *typed)),
        records=records,
        handlers=((("look",), ("forward", Message(topic="out"))),),
        reading=reading,
    )

    assert [] == differences(scenario)


def test_a_chosen_partition_is_encoded_once_where_processors_see_the_start() -> None:
    scenario = Scenario(
        setup=Setup(processors=("simple", "own_batch")),
        before=(
            ("send", Message(partition=1)),
            ("send", Message(partition=1, value=None, key=b"k")),
        ),
    )

    assert [] == differences(scenario)
