"""See through a Kafka pipeline: traces and metrics for aiokafka producers and consumers.

Make one `Telemetry` per service, wrap the clients, and use them as before::

    telemetry = tracing.Telemetry(pipeline="orders")
    producer = tracing.TracedProducer(AIOKafkaProducer(...), telemetry)
    consumer = tracing.TracedConsumer(AIOKafkaConsumer(...), telemetry)

Importing this needs opentelemetry-api alone. `tracing.otlp` sets an SDK up, `tracing.testing` is
for tests.
"""

from tracing.aggregation import Aggregator
from tracing.batch_processing import BatchProcessing
from tracing.boundary import Boundary
from tracing.cloudevents import CloudEvent, cloudevent
from tracing.consumer import TracedConsumer
from tracing.consuming import consume
from tracing.current import current_batch, current_processing
from tracing.dead_letters import DeadLetters
from tracing.http_boundary import HttpBoundary
from tracing.identity import EventIdentity
from tracing.inbox import Inbox
from tracing.logs import EventLogFilter
from tracing.outcome import Outcome, Rejected, Unprocessable
from tracing.processing import Processing
from tracing.producer import TracedProducer
from tracing.provenance import Provenance, Replay
from tracing.retry import Retry
from tracing.sagas.context import SagaContext
from tracing.sagas.flow import SagaFlow, Sighting
from tracing.sagas.health import SagaHealth, SagaHealthSource
from tracing.sagas.log import SagaHistory, SagaLog
from tracing.sagas.observer import SagaObserver
from tracing.sagas.outcomes import SagaOutcome, StepOutcome
from tracing.sagas.tracker import SagaTracker
from tracing.telemetry import Relation, Telemetry
from tracing.unreadable import UnreadableRecord

__all__ = [
    "Aggregator",
    "BatchProcessing",
    "Boundary",
    "CloudEvent",
    "DeadLetters",
    "EventIdentity",
    "EventLogFilter",
    "HttpBoundary",
    "Inbox",
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
    "Sighting",
    "StepOutcome",
    "Telemetry",
    "TracedConsumer",
    "TracedProducer",
    "Unprocessable",
    "UnreadableRecord",
    "cloudevent",
    "consume",
    "current_batch",
    "current_processing",
]
