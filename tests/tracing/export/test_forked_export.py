"""Forked workers export, and each is a separate service instance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.tracing.export.collectors import LOGS, METRICS, TRACES, Collector, hanging, reply

_SET_UP = """
import asyncio, json, os, sys, threading, time
from opentelemetry._logs import LogRecord
from tracing import TracedConsumer, TracedProducer, otlp
from tracing.testing import InMemoryBroker, InMemoryConsumer, InMemoryProducer

providers = otlp.configure("shop")
telemetry = providers.telemetry("orders")
broker = InMemoryBroker()
producer = TracedProducer(InMemoryProducer(broker), telemetry)

def say(value):
    # In one piece: several processes have the same pipe.
    os.write(1, json.dumps(value).encode() + bytes([10]))

def instance():
    return providers.tracer_provider.resource.attributes["service.instance.id"]

async def send(topic, number):
    await producer.start()
    for _ in range(number):
        await producer.send_and_wait(topic, b"v")

def work(topic, number):
    asyncio.run(send(topic, number))
    providers.logger_provider.get_logger("t").emit(LogRecord(body=topic))
"""

_BY_OS_FORK = """
work("parent", 4)
pids = []
for number in range(2):
    pid = os.fork()
    if not pid:
        work(f"child{number}", number + 1)
        say([f"child{number}", instance()])
        sys.exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
say(["parent", instance()])
"""

_BY_MULTIPROCESSING = """
import multiprocessing

def child(topic, number):
    work(topic, number)
    say([topic, instance()])
    providers.shutdown()

work("parent", 4)
forks = multiprocessing.get_context("fork")
children = [forks.Process(target=child, args=(f"child{n}", n + 1)) for n in range(2)]
for each in children:
    each.start()
for each in children:
    each.join()
    assert each.exitcode == 0
say(["parent", instance()])
"""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


def _run(program: str, url: str, **more: str) -> list[str]:
    done = subprocess.run(
        # Newer interpreters warn of forks in a process with threads: that is what is tested.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SET_UP + program],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            # Nothing leaves the parent before it forks, unless a test says so.
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
            "OTEL_BLRP_SCHEDULE_DELAY": "60000",
            **more,
        },
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


def _sent(collector: Collector) -> dict[tuple[str, str], float]:
    """How many messages each instance says that it sent, by instance and topic; its last word."""
    found: dict[tuple[str, str], float] = {}
    for body in collector.bodies[METRICS]:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            labels = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.sum.data_points:
                        if metric.name == "messaging.client.sent.messages":
                            topic = next(
                                item.value.string_value
                                for item in point.attributes
                                if item.key == "messaging.destination.name"
                            )
                            found[labels["service.instance.id"], topic] = point.as_int
                    for histogram in metric.histogram.data_points:
                        if metric.name == "messaging.client.operation.duration":
                            key = labels["service.instance.id"], "all durations"
                            found[key] = found.get(key, 0)
                            found[key] = max(found[key], histogram.count)
    return found


@pytest.mark.parametrize("program", [_BY_OS_FORK, _BY_MULTIPROCESSING])
def test_each_worker_reports_what_it_did_itself_as_an_instance_of_its_own(
    collector: Collector, program: str
) -> None:
    lines = _run(program, collector.url)

    instance = dict(json.loads(line) for line in lines)
    assert 3 == len(set(instance.values()))
    expected = [(f"send {name}", instance[name]) for name in ("child0", "child1", "child1")]
    expected += [("send parent", instance["parent"])] * 4
    assert sorted(expected) == sorted(collector.spans())
    for path in (TRACES, METRICS, LOGS):
        assert set(instance.values()) == {
            resource["service.instance.id"] for resource in collector.resources(path)
        }
    sent = {key: value for key, value in _sent(collector).items() if value}
    assert {
        (instance["parent"], "parent"): 4,
        (instance["parent"], "all durations"): 4,
        (instance["child0"], "child0"): 1,
        (instance["child0"], "all durations"): 1,
        (instance["child1"], "child1"): 2,
        (instance["child1"], "all durations"): 2,
    } == sent


_AMID_EXPORTS = """
work("parent", 600)
asking = threading.Thread(target=providers.force_flush, daemon=True)
asking.start()
sys.stdin.readline()
pid = os.fork()
if not pid:
    work("child", 600)
    providers.shutdown(20)
    say(providers.account.losses())
    os._exit(0)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os._exit(0)
"""


def test_a_worker_forked_during_an_export_works_and_does_not_use_its_parents_connection(
    collector: Collector,
) -> None:
    collector.answer = hanging(collector)
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SET_UP + _AMID_EXPORTS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as program:
        # Traces, metrics and logs: all are being exported.
        while len(collector.bodies) < 3:
            assert program.poll() is None
            collector.closing.wait(0.05)
        collector.answer = reply()
        lines = program.communicate("fork\n", timeout=100)[0].splitlines()

    lost, status = json.loads(lines[0]), lines[1]
    assert ("0", {"spans": 0, "metric points": 0, "log records": 0}) == (status, lost)
    assert 600 == sum(name == "send child" for name, _ in collector.spans())


def test_ids_of_workers_differ(collector: Collector) -> None:
    program = """
work("parent", 1)
pids = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        work("child", 50)
        say([dict(r.headers)["ce_id"].decode() for r in broker.records("child")])
        sys.exit(0)
    pids.append(pid)
for pid in pids:
    os.waitpid(pid, 0)
"""
    lines = _run(program, collector.url)

    ids = [event_id for line in lines for event_id in json.loads(line)]
    assert (150, 150) == (len(ids), len(set(ids)))


def test_a_worker_forked_after_shutdown_neither_waits_nor_exports(
    collector: Collector,
) -> None:
    program = """
work("parent", 1)
providers.shutdown()
pid = os.fork()
if not pid:
    work("child", 1)
    providers.shutdown(3600)
    # The SDK's thread would export once more, and log that it cannot.
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    os._exit(0)
os.waitpid(pid, 0)
"""
    assert [] == _run(program, collector.url)

    assert ["send parent"] == [name for name, _ in collector.spans()]
