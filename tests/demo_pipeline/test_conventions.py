"""Everything that the demo reports follows the semantic conventions, HTTP included."""

from __future__ import annotations

from typing import Final

import pytest

from demo_pipeline.app.load import Load
from demo_pipeline.app.run import RunOptions, run
from demo_pipeline.runtime.scenarios import SCENARIOS
from tests.demo_pipeline.app.silent import Silent
from tests.semconv.conformance import metric_violations, span_violations

# The operations that a scenario shows, beside those of every run.
SHOWN: Final = {"poison": {"dead_letter"}, "payment-outage": {"retry"}}
# The outage begins a second after the first charge.
RATES: Final = {"payment-outage": 5.0}

# On a busy machine, the deadlines of the demo stretch.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_all_spans_and_metrics_of_a_run_follow_the_conventions(scenario: str) -> None:
    options = RunOptions(
        load=Load(orders=10, rate=RATES.get(scenario, 20.0), seed=1),
        scenario=scenario,
        bootstrap_servers=None,
        kafka=False,
        http_port=0,
        timeout_s=60,
    )

    result = (await run(options, Silent())).result

    assert [] == span_violations(result.spans)
    assert [] == metric_violations(result.metrics)
    operations = {
        (span.attributes or {}).get("messaging.operation.name", span.kind.name)
        for span in result.spans
    }
    assert {"send", "process", "INTERNAL", "SERVER"} | SHOWN.get(scenario, set()) <= operations
    assert all(
        "kafka.cluster.id" in attributes
        for span in result.spans
        if "messaging.system.name" in (attributes := span.attributes or {})
    )
    names = {
        metric.name
        for data in result.metrics
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    assert {"messaging.process.duration", "http.server.request.duration"} <= names
