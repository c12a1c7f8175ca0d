"""See through a Kafka pipeline: traces and metrics for aiokafka producers and consumers.

Make one `Telemetry` per service, wrap the clients, and use them as before::

    telemetry = tracing.Telemetry(pipeline="orders")
    producer = tracing.TracedProducer(AIOKafkaProducer(...), telemetry)
    consumer = tracing.TracedConsumer(AIOKafkaConsumer(...), telemetry)

Importing this needs opentelemetry-api alone. Each name is loaded when it is first used.
`tracing.otlp` sets an SDK up, `tracing.testing` is for tests.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tracing.core.version import __version__
    from tracing.delivery.consume import consume
    from tracing.delivery.dead_letters import DeadLetters
    from tracing.delivery.inbox import Inbox
    from tracing.delivery.retry import Retry
    from tracing.headers.boundary import Boundary
    from tracing.headers.cloudevents import CloudEvent, cloudevent
    from tracing.headers.dead_letter import Provenance, Replay
    from tracing.headers.identity import EventIdentity
    from tracing.kafka.consumer import TracedConsumer
    from tracing.kafka.producer import TracedProducer
    from tracing.messaging.current import EventLogFilter, current_batch, current_processing
    from tracing.messaging.http_boundary import HttpBoundary
    from tracing.messaging.outcome import Outcome, Rejected, Unprocessable
    from tracing.messaging.process import Processing
    from tracing.messaging.process_batch import BatchProcessing
    from tracing.messaging.unreadable import UnreadableRecord
    from tracing.messaging.waiting import waited_for, waiting_for
    from tracing.metrics.histograms import Aggregator
    from tracing.sagas.context import SagaContext, SagaOutcome, StepOutcome
    from tracing.sagas.flow import FlowEvent, SagaFlow
    from tracing.sagas.observer import SagaObserver
    from tracing.sagas.store import SagaHealth, SagaHealthSource, SagaHistory, SagaLog
    from tracing.sagas.tracker import SagaTracker
    from tracing.schemas.errors import UndecodableRecord, UnknownSchema
    from tracing.schemas.hook import Schemas
    from tracing.schemas.wire import schema_id
    from tracing.telemetry import MessageKind, Relation, Telemetry

__all__ = [
    "Aggregator",
    "BatchProcessing",
    "Boundary",
    "CloudEvent",
    "DeadLetters",
    "EventIdentity",
    "EventLogFilter",
    "FlowEvent",
    "HttpBoundary",
    "Inbox",
    "MessageKind",
    "Outcome",
    "Processing",
    "Provenance",
    "Rejected",
    "Relation",
    "Replay",
    "Retry",
    "SagaContext",
    "SagaFlow",
    "SagaHealth",
    "SagaHealthSource",
    "SagaHistory",
    "SagaLog",
    "SagaObserver",
    "SagaOutcome",
    "SagaTracker",
    "Schemas",
    "StepOutcome",
    "Telemetry",
    "TracedConsumer",
    "TracedProducer",
    "UndecodableRecord",
    "UnknownSchema",
    "Unprocessable",
    "UnreadableRecord",
    "__version__",
    "cloudevent",
    "consume",
    "current_batch",
    "current_processing",
    "schema_id",
    "waited_for",
    "waiting_for",
]

# A command line that prints its help, or a service that only replays, needs a few of them.
_MODULES: Final = {
    "Aggregator": "tracing.metrics.histograms",
    "BatchProcessing": "tracing.messaging.process_batch",
    "Boundary": "tracing.headers.boundary",
    "CloudEvent": "tracing.headers.cloudevents",
    "DeadLetters": "tracing.delivery.dead_letters",
    "EventIdentity": "tracing.headers.identity",
    "EventLogFilter": "tracing.messaging.current",
    "FlowEvent": "tracing.sagas.flow",
    "HttpBoundary": "tracing.messaging.http_boundary",
    "Inbox": "tracing.delivery.inbox",
    "MessageKind": "tracing.telemetry",
    "Outcome": "tracing.messaging.outcome",
    "Processing": "tracing.messaging.process",
    "Provenance": "tracing.headers.dead_letter",
    "Rejected": "tracing.messaging.outcome",
    "Relation": "tracing.telemetry",
    "Replay": "tracing.headers.dead_letter",
    "Retry": "tracing.delivery.retry",
    "SagaContext": "tracing.sagas.context",
    "SagaFlow": "tracing.sagas.flow",
    "SagaHealth": "tracing.sagas.store",
    "SagaHealthSource": "tracing.sagas.store",
    "SagaHistory": "tracing.sagas.store",
    "SagaLog": "tracing.sagas.store",
    "SagaObserver": "tracing.sagas.observer",
    "SagaOutcome": "tracing.sagas.context",
    "SagaTracker": "tracing.sagas.tracker",
    "Schemas": "tracing.schemas.hook",
    "StepOutcome": "tracing.sagas.context",
    "Telemetry": "tracing.telemetry",
    "TracedConsumer": "tracing.kafka.consumer",
    "TracedProducer": "tracing.kafka.producer",
    "UndecodableRecord": "tracing.schemas.errors",
    "UnknownSchema": "tracing.schemas.errors",
    "Unprocessable": "tracing.messaging.outcome",
    "UnreadableRecord": "tracing.messaging.unreadable",
    "__version__": "tracing.core.version",
    "cloudevent": "tracing.headers.cloudevents",
    "consume": "tracing.delivery.consume",
    "current_batch": "tracing.messaging.current",
    "current_processing": "tracing.messaging.current",
    "schema_id": "tracing.schemas.wire",
    "waited_for": "tracing.messaging.waiting",
    "waiting_for": "tracing.messaging.waiting",
}


if not TYPE_CHECKING:  # a type checker would take any name for one of the module's

    def __getattr__(name: str) -> object:
        module = _MODULES.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
