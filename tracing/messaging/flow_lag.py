"""The lag that one hop adds to a flow, as metric series by pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from tracing.core import semconv
from tracing.metrics import catalog
from tracing.metrics.series import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracing.metrics.instruments import Durations
    from tracing.metrics.metric import Labels
    from tracing.telemetry import Telemetry

Kept = TypeVar("Kept")


class ArrivalDurations:
    """Wait and end-to-end lag of one pipeline's messages at one hop. For one thread."""

    __slots__ = ("end_to_end", "wait")

    def __init__(self, wait: Durations, end_to_end: Durations) -> None:
        self.wait = wait
        self.end_to_end = end_to_end


class Arrivals:
    """The lag of the messages of one topic that one group handles. For one thread.

    Args:
        telemetry: What the service's clients share.
        topic: The topic.
        group: The group, if any.
        type_labels: The label of the messages' type, if any: for the end-to-end lag alone.
    """

    __slots__ = ("_attributes", "_by_pipeline", "_telemetry", "_type_labels")

    def __init__(
        self, telemetry: Telemetry, topic: str, group: str | None, type_labels: Labels
    ) -> None:
        self._telemetry = telemetry
        self._attributes: dict[str, str | int] = {semconv.DESTINATION: topic}
        if group is not None:
            self._attributes[semconv.GROUP] = group
        self._type_labels = type_labels
        self._by_pipeline: dict[object, ArrivalDurations] = {}

    def of(self, flow: Mapping[str, object]) -> ArrivalDurations:
        """Return the series of a message's pipeline; the service's own where it names none."""
        pipeline = flow.get(semconv.PIPELINE)
        durations = self._by_pipeline.get(pipeline)
        return self._new(pipeline) if durations is None else durations

    def _new(self, pipeline: object) -> ArrivalDurations:
        telemetry, by_pipeline = self._telemetry, self._by_pipeline
        label = telemetry.pipelines.label(pipeline)
        if label == OTHER and OTHER in by_pipeline:
            return by_pipeline[OTHER]
        attributes = {**self._attributes, semconv.PIPELINE_LABEL: label}
        series = ArrivalDurations(
            telemetry.metrics.durations(catalog.WAIT_DURATION, attributes),
            telemetry.metrics.durations(
                catalog.END_TO_END_DURATION, {**attributes, **self._type_labels}
            ),
        )
        _keep(by_pipeline, pipeline, label, series)
        return series


class Publications:
    """The time that events took to be published to one topic. For one thread.

    Args:
        telemetry: What the service's clients share.
        topic: The topic.
    """

    __slots__ = ("_by_pipeline", "_telemetry", "_topic")

    def __init__(self, telemetry: Telemetry, topic: str) -> None:
        self._telemetry = telemetry
        self._topic = topic
        self._by_pipeline: dict[object, Durations] = {}

    def of(self, flow: Mapping[str, object]) -> Durations:
        """Return the series of a flow's pipeline; the service's own where it names none."""
        pipeline = flow.get(semconv.PIPELINE)
        durations = self._by_pipeline.get(pipeline)
        return self._new(pipeline) if durations is None else durations

    def _new(self, pipeline: object) -> Durations:
        by_pipeline = self._by_pipeline
        label = self._telemetry.pipelines.label(pipeline)
        if label == OTHER and OTHER in by_pipeline:
            return by_pipeline[OTHER]
        series = self._telemetry.metrics.durations(
            catalog.PUBLISH_DURATION,
            {semconv.DESTINATION: self._topic, semconv.PIPELINE_LABEL: label},
        )
        _keep(by_pipeline, pipeline, label, series)
        return series


def _keep(by_pipeline: dict[object, Kept], pipeline: object, label: str, series: Kept) -> None:
    # Baggage of the own process may hold anything: of what is no name there is no end.
    if label == OTHER:
        by_pipeline[OTHER] = series
    elif pipeline is None or isinstance(pipeline, str):
        by_pipeline[pipeline] = series
