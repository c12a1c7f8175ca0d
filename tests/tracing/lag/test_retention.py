"""The share of the retention that a record has used, and when brokers are asked for it."""

from __future__ import annotations

import asyncio
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import errors
from aiokafka.structs import TopicPartition

from tracing.kafka.log_dirs import DescribeLogDirs
from tracing.kafka.retention import Retention, log_sizes, retentions
from tracing.lag import RetentionUse
from tracing.lag import retention as retention_module
from tracing.lag.retention import Retentions, use_of, worst_use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

WEEK_MS = str(7 * 86_400_000)
TP = TopicPartition("orders", 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (("delete", WEEK_MS, "-1"), Retention(604_800.0, None)),
        (("delete", "-1", "1000"), Retention(None, 1000)),
        (("compact,delete", "1000", "1000"), Retention(1.0, 1000)),
        (("delete, compact", "1000", "-1"), Retention(1.0, None)),
        (("delete", "-1", "-1"), Retention()),
        (("compact", "1000", "1000"), Retention()),
        (("", "1000", "1000"), Retention()),
        (("delete", "a week", "-1"), None),
        (("delete", None, "-1"), None),
    ],
)
def test_the_limits_of_a_topic(config: tuple[str | None, ...], expected: Retention | None) -> None:
    names = ("cleanup.policy", "retention.ms", "retention.bytes")

    assert expected == Retention.of(dict(zip(names, config, strict=True)))


def test_a_tiered_log_is_limited_by_time_alone() -> None:
    config = {
        "cleanup.policy": "delete", "retention.ms": "1000", "retention.bytes": "1000",
        "remote.storage.enable": "true",
    }  # fmt: skip

    assert Retention(1.0, None) == Retention.of(config)


def test_settings_that_a_broker_does_not_report_are_unknown() -> None:
    assert Retention.of({}) is None


@pytest.mark.parametrize(
    ("retention", "waited_s", "waiting_bytes", "bytes_per_s", "expected"),
    [
        (Retention(100.0), 25.0, None, None, RetentionUse(0.25, 75.0)),
        (Retention(100.0), 130.0, None, None, RetentionUse(1.3, 0.0)),
        (Retention(100.0), None, None, None, None),
        (Retention(size=1000), None, 250.0, 10.0, RetentionUse(0.25, 75.0)),
        (Retention(size=1000), None, 1500.0, None, RetentionUse(1.5, 0.0)),
        (Retention(size=1000), None, 250.0, 0.0, RetentionUse(0.25, None)),
        (Retention(size=1000), None, 250.0, None, RetentionUse(0.25, None)),
        (Retention(size=1000), 99.0, None, 10.0, None),
        (Retention(100.0, 1000), 25.0, 900.0, 1.0, RetentionUse(0.9, 75.0)),
        (Retention(100.0, 1000), 25.0, 900.0, 10.0, RetentionUse(0.9, 10.0)),
        (Retention(100.0, 1000), 25.0, None, None, RetentionUse(0.25, 75.0)),
        (Retention(0.0), 0.0, None, None, RetentionUse(0.0, 0.0)),
        (Retention(), 25.0, 250.0, 10.0, None),
    ],
)
def test_the_limit_that_is_nearest_counts(
    retention: Retention,
    waited_s: float | None,
    waiting_bytes: float | None,
    bytes_per_s: float | None,
    expected: RetentionUse | None,
) -> None:
    assert expected == use_of(
        retention, waited_s=waited_s, waiting_bytes=waiting_bytes, bytes_per_s=bytes_per_s
    )


def test_the_worst_of_several_partitions_counts() -> None:
    uses = [RetentionUse(0.2, 80.0), RetentionUse(0.5, None), None, RetentionUse(0.1, 90.0)]
    assert RetentionUse(0.5, 80.0) == worst_use(uses)
    assert worst_use([None]) is None


class Answers:
    """Replaces a cluster of two brokers; sends an answer, or raises it."""

    nodes = (1, 2)

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[Any] = []

    async def send(self, _node: int, request: Any) -> Any:
        self.sent.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def by_leader(self, partitions: Iterable[TopicPartition]) -> tuple[Any, set[TopicPartition]]:
        return {1: list(partitions)}, set()


def settings(*topics: str, code: int = 0) -> SimpleNamespace:
    """Return an answer with the same settings for all topics."""
    entries: list[tuple[Any, ...]] = [
        ("cleanup.policy", "delete", False, 5, False, []),
        ("retention.ms", "1000", False, 5, False, []),
        ("retention.bytes", "-1", False, 5, False, []),
    ]
    return SimpleNamespace(
        resources=[(code, None, 2, topic, [] if code else entries) for topic in topics]
    )


async def asked(cluster: Any, *topics: str) -> tuple[dict[str, Retention | None], list[str]]:
    missing: set[str] = set()
    return await retentions(cluster, topics, missing), sorted(missing)


async def test_another_broker_is_asked_if_one_does_not_answer() -> None:
    cluster = Answers(errors.NodeNotReadyError(), settings("a"), settings("b"))

    assert ({"a": Retention(1.0), "b": Retention(1.0)}, []) == await asked(cluster, "b", "a")


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (errors.TopicAuthorizationFailedError, ["DescribeConfigs on topic b"]),
        (errors.InvalidTopicError, ["DescribeConfigs on topic b (InvalidTopicError)"]),
        # Deleted after it was listed.
        (errors.UnknownTopicOrPartitionError, []),
    ],
)
async def test_a_refused_topic_is_named_unless_it_is_gone(
    error: type[errors.BrokerResponseError], missing: list[str]
) -> None:
    cluster = Answers(settings("a"), settings("b", code=error.errno))
    known, reported = await asked(cluster, "a", "b")

    assert (Retention(1.0), None) == (known["a"], known["b"])
    assert missing == reported


async def test_without_any_answer_nothing_is_known() -> None:
    cluster = Answers(errors.NodeNotReadyError(), NotImplementedError())

    assert ({}, ["an answer to DescribeConfigs"]) == await asked(cluster, "a")


async def test_many_topics_are_asked_for_in_parts() -> None:
    topics = [f"topic-{number:04}" for number in range(1200)]
    cluster = Answers(*[settings() for _ in range(4)])
    await asked(cluster, *topics)

    assert [1, 500, 500, 199] == [
        len(request.prepare({32: (0, 4)}).resources) for request in cluster.sent
    ]


def test_sizes_are_asked_for_by_topic() -> None:
    request: Any = DescribeLogDirs([("orders", [0, 1])]).prepare({35: (0, 4)})
    answer = request.RESPONSE_TYPE(0, [(0, "/data", [("orders", [(0, 500, 0, False)])])])

    assert answer.results == request.RESPONSE_TYPE.decode(BytesIO(answer.encode())).results
    assert b"\0\0\0\1\0\6orders\0\0\0\2\0\0\0\0\0\0\0\1" == request.encode()


@pytest.mark.parametrize(
    ("answer", "sizes", "missing"),
    [
        (
            [(0, "/a", [("orders", [(0, 500, 0, False)])]),
             (0, "/b", [("orders", [(0, 90, 0, True)])])],
            {TP: 500}, [],
        ),
        ([], {}, ["Describe on cluster"]),
        (errors.IncompatibleBrokerVersion(), {}, ["an answer of broker 1 to DescribeLogDirs"]),
    ],
)  # fmt: skip
async def test_a_log_that_moves_to_another_disk_counts_once(
    answer: Any, sizes: dict[TopicPartition, int], missing: list[str]
) -> None:
    results = answer if isinstance(answer, Exception) else SimpleNamespace(results=answer)
    cluster: Any = Answers(results)
    reported: set[str] = set()

    assert sizes == await log_sizes(cluster, [TP], reported)
    assert missing == sorted(reported)


class Brokers:
    """Replaces a cluster's answers about topics, and keeps what they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.answer: dict[str, Retention | None] = {}
        self.sizes: dict[TopicPartition, int] = {}
        self.hangs = False
        self.asked: list[set[str]] = []
        monkeypatch.setattr(retention_module, "monotonic", lambda: self.now)
        monkeypatch.setattr(retention_module, "retentions", self.retentions)
        monkeypatch.setattr(retention_module, "log_sizes", self.log_sizes)
        monkeypatch.setattr(retention_module, "_PATIENCE_S", 0.05)
        cluster: Any = self
        self.figures = Retentions(cluster)

    async def retentions(
        self, _cluster: object, topics: Iterable[str], missing: set[str]
    ) -> dict[str, Retention | None]:
        self.asked.append(set(topics))
        if self.hangs:
            await asyncio.sleep(60)
        missing |= {f"{topic}?" for topic, each in self.answer.items() if each is None}
        return {topic: each for topic, each in self.answer.items() if topic in self.asked[-1]}

    async def log_sizes(
        self, _cluster: object, partitions: Iterable[TopicPartition], missing: set[str]
    ) -> dict[TopicPartition, int]:
        if not self.sizes:
            missing.add("sizes?")
        return {tp: self.sizes[tp] for tp in partitions if tp in self.sizes}

    async def offsets(
        self, partitions: Iterable[TopicPartition], _which: int
    ) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 40)

    async def refresh(self, ends: Mapping[TopicPartition, int]) -> None:
        await self.figures.refresh(ends.keys(), ends)

    def use(self, waiting: int = 1, waited_s: float | None = 25.0) -> RetentionUse | None:
        return self.figures.use(TP, waiting, waited_s, 5.0)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    return Brokers(monkeypatch)


async def test_brokers_are_asked_every_five_minutes_and_for_new_topics(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(100.0), "new": Retention(1.0)}
    for now, topic in ((0.0, "orders"), (10.0, "orders"), (20.0, "new"), (301.0, "new")):
        brokers.now = now
        await brokers.refresh({TP: 90, TopicPartition(topic, 0): 5})

    assert [{"orders"}, {"new"}, {"orders", "new"}] == brokers.asked


async def test_bytes_count_by_the_mean_size_of_the_log_s_records(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(None, 1000)}
    brokers.sizes = {TP: 500}
    await brokers.refresh({TP: 90})

    # 50 records have 500 bytes, and 5 come in each second.
    assert RetentionUse(0.2, 16.0) == brokers.use(waiting=20)


async def test_without_sizes_time_alone_counts(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(100.0, 1000)}
    await brokers.refresh({TP: 90})

    assert RetentionUse(0.25, 75.0) == brokers.use(waiting=20)
    assert ("sizes?",) == brokers.figures.missing


async def test_without_waiting_records_nothing_is_used(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(100.0)}
    await brokers.refresh({TP: 90})

    assert RetentionUse(0.0, None) == brokers.use(waiting=0, waited_s=0.0)


@pytest.mark.parametrize("answer", [{}, {"orders": None}, {"orders": Retention()}])
async def test_without_limits_there_is_no_figure(
    brokers: Brokers, answer: dict[str, Retention | None]
) -> None:
    brokers.answer = answer
    await brokers.refresh({TP: 90})

    assert brokers.use() is None
    assert brokers.use(waiting=0) is None


async def test_what_is_not_answered_keeps_its_last_value(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(100.0)}
    await brokers.refresh({TP: 90})
    brokers.now, brokers.hangs = 301.0, True
    await brokers.refresh({TP: 90})

    assert RetentionUse(0.25, 75.0) == brokers.use()
    assert ("an answer in time",) == brokers.figures.missing


async def test_a_missing_right_ends_the_figure_and_is_named(brokers: Brokers) -> None:
    brokers.answer = {"orders": Retention(100.0)}
    await brokers.refresh({TP: 90})
    brokers.now, brokers.answer = 301.0, {"orders": None}
    await brokers.refresh({TP: 90})

    assert brokers.use() is None
    assert ("orders?",) == brokers.figures.missing
