"""The page on sampling: what the policies of its Collector look for is what spans have."""

from __future__ import annotations

import re
from typing import get_args

import yaml

from tests.docs.pages import ROOT
from tracing.core import semconv
from tracing.messaging.outcome import Outcome
from tracing.sagas.context import SAGA_OUTCOMES

PAGE = ROOT / "docs" / "guides" / "sampling.md"


def test_the_collector_looks_for_attributes_and_values_that_exist() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    policies = yaml.safe_load(block)["processors"]["tail_sampling"]["policies"]
    # A policy has its settings under the name of its type.
    settings = {policy["name"]: policy[policy["type"]] for policy in policies}
    values = {
        semconv.OUTCOME: set(get_args(Outcome)),
        semconv.SAGA_OUTCOME: set(SAGA_OUTCOMES),
    }

    assert len(policies) == len(settings)
    assert all({"name", "type", policy["type"]} == policy.keys() for policy in policies)
    matched = {each["key"]: set(each["values"]) for each in settings.values() if "key" in each}
    assert values.keys() == matched.keys()
    assert all(matched[key] < values[key] for key in values)
