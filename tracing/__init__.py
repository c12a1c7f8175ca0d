"""See through a Kafka pipeline: traces and metrics for aiokafka producers and consumers.

Make one `Telemetry` per service, wrap the clients, and use them as before::

    telemetry = tracing.Telemetry(pipeline="orders")
    producer = tracing.TracedProducer(AIOKafkaProducer(...), telemetry)
    consumer = tracing.TracedConsumer(AIOKafkaConsumer(...), telemetry)

Importing this needs opentelemetry-api alone. `tracing.otlp` sets an SDK up, `tracing.testing` is
for tests.
"""

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
    "cloudevent",
    "consume",
    "current_batch",
    "current_processing",
    "schema_id",
]
