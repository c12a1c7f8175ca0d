"""Whatever happens, the flat path gives what the general code gives: to the byte."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tracing.messaging.flat.oracle_compare import differences
from tests.tracing.messaging.flat.oracle_scenario import Message, Scenario, Setup
from tests.tracing.messaging.flat.oracle_strategies import scenarios

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


def test_a_chosen_partition_is_encoded_once_where_processors_see_the_start() -> None:
    scenario = Scenario(
        setup=Setup(processors=("simple", "own_batch")),
        before=(
            ("send", Message(partition=1)),
            ("send", Message(partition=1, value=None, key=b"k")),
        ),
    )

    assert [] == differences(scenario)
