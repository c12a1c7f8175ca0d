"""The metric of the schemas that messages are written with, as data."""

from typing import Final

from tracing.core import semconv
from tracing.metrics.metric import Metric

WRITTEN: Final = "written"
READ: Final = "read"
UNKNOWN_ID: Final = "unknown_id"
UNDECODABLE: Final = "undecodable"
OUTCOMES: Final = (WRITTEN, READ, UNKNOWN_ID, UNDECODABLE)
"""The closed set of outcomes."""

SCHEMA_RECORDS: Final = Metric(
    name="pipeline.schema.records",
    kind="counter",
    unit="{message}",
    description="Keys and values that were written or read with a schema, by its subject and "
    "version, and those that could not be read: their schema's id is unknown, or the bytes do not "
    "fit. `unknown` stands for a subject or version that could not be looked up.",
    labels=(semconv.SUBJECT_LABEL, semconv.VERSION_LABEL, semconv.OUTCOME_LABEL),
)
