"""Counts the records of each schema, and looks up what the schemas are."""

from __future__ import annotations

import math
import os
import threading
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracing.core import semconv
from tracing.core.bounded import BoundedDict
from tracing.core.ids import in_forked_child
from tracing.metrics import catalog
from tracing.metrics.schema_metrics import READ, UNDECODABLE, UNKNOWN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.core.semconv import AttributeValue
    from tracing.metrics.instruments import Count
    from tracing.schemas.sources import Source
    from tracing.schemas.wire import SchemaUse, SubjectVersion
    from tracing.telemetry import Telemetry

MAX_VERSIONS: Final = 16
"""Versions of a subject that the metrics of one process name; further ones share one series."""

LOOKUP_INTERVAL_S: Final = 60.0
"""How long a schema that could not be looked up stays unknown, in seconds."""


_lock = threading.Lock()
"""For the counts and what is known of schemas: one for all, because telemetries share series."""


def _free_lock() -> None:
    global _lock  # noqa: PLW0603 - a thread that the child lacks may have held it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_free_lock)


class KnownSchema:
    """What is known of a schema. Its attributes may be read in any thread.

    Args:
        use: Its id, and where it was met; `None` stands for messages without an id.

    Attributes:
        version: Its subject and version; `None` as long as they are not known.
        reader: The version that this service reads with, where declared.
        missing: Whether the source said that it does not know the schema.
        as_written: Describes it on the span of a send.
        as_read: Describes it on the span of a handling, together with the reader's version.
    """

    __slots__ = (
        "as_read",
        "as_written",
        "counts",
        "due_at",
        "missing",
        "reader",
        "version",
        "waiting",
    )

    def __init__(self, use: SchemaUse | None) -> None:
        self.version: SubjectVersion | None = None
        self.reader: int | None = None
        self.missing = False
        self.as_written: dict[str, AttributeValue] = {}
        if use is not None:
            self.as_written[semconv.SCHEMA_ID] = str(use[0])
        self.as_read = self.as_written
        # By outcome; and while a lookup is under way, how many wait for its answer.
        self.counts: dict[str, Count] = {}
        self.waiting: dict[str, int] | None = None
        self.due_at = -math.inf

    def resolve(self, version: SubjectVersion, reader: int | None) -> None:
        """Note the answer of a lookup."""
        subject, number = version
        self.version, self.reader = version, reader
        self.as_written = self.as_read = {
            **self.as_written,
            semconv.SCHEMA_SUBJECT: subject,
            semconv.SCHEMA_VERSION: number,
        }
        if reader is not None and reader != number:
            self.as_read = {**self.as_written, semconv.SCHEMA_READER_VERSION: reader}
        self.counts = {}


class SchemaCounts:
    """The counter of one telemetry. It can be used from any thread, and never raises.

    Records that are met while their schema is looked up are counted when the answer is there.

    Args:
        telemetry: What the service's clients share.
        source: Looks schemas up; `None` if nothing can.
        reader_versions: The versions that this service reads with, by subject.
    """

    def __init__(
        self, telemetry: Telemetry, source: Source | None, reader_versions: Mapping[str, int]
    ) -> None:
        self._telemetry = telemetry
        self._source = source
        self._reader_versions = dict(reader_versions)
        self._versions: dict[str, set[int]] = {}
        self._known: BoundedDict[SchemaUse, KnownSchema] = BoundedDict(KnownSchema)
        self._unknown = KnownSchema(None)
        in_forked_child(self._forget)
        with _lock:
            # The share of failures has to be 0, not absent, before there is one.
            for outcome in (UNKNOWN_ID, UNDECODABLE):
                self._count(self._unknown, outcome)

    def _forget(self) -> None:
        # The answers that its parent waits for do not come to a child.
        self._known.clear()

    def known(self, use: SchemaUse | None) -> KnownSchema:
        """Return what is known of a schema. Only a source that answers at once is asked."""
        if use is None:
            return self._unknown
        known = self._known.get(use)
        if self._source is not None and self._source.at_once:
            with _lock:
                known = self._known[use]
            if known.due_at <= monotonic():
                self._begin(self._source, use, known)
        return known or KnownSchema(use)

    def succeeded(self, outcome: str, use: SchemaUse | None) -> KnownSchema:
        """Count a record that was written or read, and look its schema up if need be.

        Args:
            outcome: `written` or `read`.
            use: Its schema; `None` if it names none.
        """
        known = self._unknown
        try:
            with _lock:
                if use is not None:
                    known = self._known[use]
                if known.version is not None or use is None or self._source is None:
                    count = known.counts.get(outcome) or self._count(known, outcome)
                    count.value += 1
                    return known
                if known.waiting is not None:
                    known.waiting[outcome] = known.waiting.get(outcome, 0) + 1
                    return known
                if known.due_at > monotonic():
                    self._count(known, outcome).value += 1
                    return known
                known.waiting = {outcome: 1}
            self._begin(self._source, use, known)
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)
        return known

    def failed(self, outcome: str, known: KnownSchema) -> None:
        """Count a record that could not be read.

        Nothing is looked up for it: damaged bytes name schemas without end.
        """
        try:
            with _lock:
                # An id that the registry does not know has no subject there, either.
                counted = self._unknown if outcome == UNKNOWN_ID else known
                self._count(counted, outcome).value += 1
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)

    def _begin(self, source: Source, use: SchemaUse, known: KnownSchema) -> None:
        try:
            if source.begin(use, partial(self._answered, known)):
                return
        except Exception as fault:
            self._answered(known, None, fault)
            return
        # Too much waits, or no event loop runs: the next record may find it otherwise.
        self._settle(known, None, due_at=-math.inf)

    def _answered(
        self, known: KnownSchema, version: SubjectVersion | None, failure: Exception | None
    ) -> None:
        try:
            if failure is not None:
                self._telemetry.diagnostics.failed("schema", failure)
            known.missing = version is None and failure is None
            asks_again = self._source is not None and self._source.at_once and failure is None
            later = -math.inf if asks_again else monotonic() + LOOKUP_INTERVAL_S
            self._settle(known, version, due_at=later)
        except Exception as fault:
            self._telemetry.diagnostics.failed("schema", fault)

    def _settle(self, known: KnownSchema, version: SubjectVersion | None, *, due_at: float) -> None:
        """Count what has waited for the answer."""
        with _lock:
            if version is not None:
                known.resolve(version, self._reader_versions.get(version[0]))
            known.due_at = due_at if version is None else math.inf
            waiting, known.waiting = known.waiting or {}, None
            for outcome, number in waiting.items():
                self._count(known, outcome).value += number

    def _count(self, known: KnownSchema, outcome: str) -> Count:
        found = known.counts.get(outcome)
        if found is None:
            labels = self._labels(known.version)
            count = partial(self._telemetry.metrics.count, catalog.SCHEMA_RECORDS)
            found = known.counts[outcome] = count({**labels, semconv.OUTCOME_LABEL: outcome})
            if outcome == READ:
                # So that there is a 0 before the first failure.
                count({**labels, semconv.OUTCOME_LABEL: UNDECODABLE})
        return found

    def _labels(self, version: SubjectVersion | None) -> dict[str, str | int]:
        if version is None:
            return _named(semconv.UNKNOWN, semconv.UNKNOWN)
        subject, number = version
        if self._telemetry.metrics.schema_subjects.label(subject) == semconv.OTHER:
            return _named(semconv.OTHER, semconv.OTHER)
        versions = self._versions.setdefault(subject, set())
        if number not in versions and len(versions) >= MAX_VERSIONS:
            return _named(subject, semconv.OTHER)
        versions.add(number)
        return _named(subject, str(number))


def _named(subject: str, version: str) -> dict[str, str | int]:
    return {semconv.SUBJECT_LABEL: subject, semconv.VERSION_LABEL: version}
