"""Spans of the SDK's own class whose costly parts are made on first use.

An SDK span copies and validates its attributes under a lock, makes two bounded lists and another
lock, and is copied again when it ends. That takes 15-30 µs, most of it on the message's path. A
light span keeps what it is given and lets the SDK build the rest on first use: usually in the
exporter's thread, or never where a processor drops the span.

Plain attributes, events, the status and the name are kept as well. For everything else, such as a
value that the SDK would change, a wrong type or a call after the end, the span is built, and the
SDK's own method does it.

This module reads and sets private attributes of the SDK's span class. `tracing.spans.fast_proof`
first compares the result with the SDK's own spans, in the installed version.
"""

from __future__ import annotations

import os
from threading import Lock
from time import time_ns
from typing import TYPE_CHECKING, Any, ClassVar, Final

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Status, StatusCode

from tracing.spans.light_values import (
    MAX_ADDED,
    PLAIN,
    all_kept,
    kept_value,
    status_of,
    updated,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Link

    from tracing.core.semconv import Attributes, AttributeValue
    from tracing.spans.light_values import LightEvent

# As for attributes.
_MAX_EVENTS: Final = 64

# For moments that are rare: the first attribute, events, and the building.
_lock = Lock()


def _renew() -> None:
    global _lock  # noqa: PLW0603 - the one lock
    _lock = Lock()


# A thread that a forked child lacks may hold it.
os.register_at_fork(after_in_child=_renew)


class LightSpan(sdk.Span):
    """An SDK span that is not built yet. `LightSpans` makes it, with a subclass for each tracer.

    Thread safety: as the SDK's span, in any thread.

    Attributes:
        is_light: Whether it keeps what it is given: it is not built, and no limit affects it.
        added: What was set beyond the attributes that messages share; `None` where nothing was.
        added_links: Its links, while it is light.
        light_events: Its events, while it is light.
        built_parts: The parts of the SDK's span that it has only once it is built, or where
            something replaced them.
    """

    _tracer: sdk.Tracer
    _scope: Any
    _limits: Any
    is_light: bool
    _built = False
    _shared_attributes: Attributes
    added_links: Sequence[Link] = ()
    _end_time: int | None = None
    added: dict[str, Any] | None = None
    light_events: list[LightEvent] | None = None
    built_parts: ClassVar[frozenset[str]] = frozenset()

    @property
    def resource(self) -> Any:
        """The tracer's resource, which a forked child replaces."""
        return self._tracer.resource

    def light_parts(
        self,
    ) -> tuple[Attributes, dict[str, Any] | None, Sequence[Link]] | None:
        """Return the attributes that messages share, those of this span alone, and the links.

        `None` where the span is built, or where limits or repeated names need the SDK.
        """
        if not self.is_light or self._end_time is None:
            return None
        added = self.added
        if added is not None and not added.keys().isdisjoint(self._shared_attributes):
            return None
        return self._shared_attributes, added, self.added_links

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute, as the SDK does."""
        if self.is_light and self._end_time is None and self._is_free(key):
            kept = value if value.__class__ in PLAIN else kept_value(value)
            added = self.added
            if added is None:
                added = self._first_added()
            if kept is not None and len(added) < MAX_ADDED:
                # One that is set again comes last.
                added.pop(key, None)
                added[key] = kept
                # Another thread may have begun to build the span, and have missed this one.
                if self.is_light:
                    return
        super().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes, as the SDK does."""
        if self.is_light and self._end_time is None:
            kept = all_kept(attributes)
            added = self.added
            if added is None:
                added = self._first_added()
            if kept is not None and len(added) + len(kept) <= MAX_ADDED and self._are_free(kept):
                updated(added, kept)
                if self.is_light:
                    return
        super().set_attributes(attributes)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event, as the SDK does."""
        if (
            self.is_light
            and self._end_time is None
            and name.__class__ is str
            and (timestamp is None or timestamp.__class__ is int)
        ):
            kept = all_kept(attributes) if attributes else {}
            at = time_ns() if timestamp is None else timestamp
            if kept is not None and self._keep_event((name, kept, at)):
                return
        super().add_event(name, attributes, timestamp)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status, as the SDK does: "ok" is final, and "unset" changes nothing."""
        if self.is_light and self._end_time is None:
            code: object = None
            if type(status) is StatusCode:
                code = status
            elif type(status) is Status and description is None:
                code = status.status_code
            if code is not None:
                if code is not StatusCode.UNSET and self._status.status_code is not StatusCode.OK:
                    self._status = status_of(status, description)
                return
        super().set_status(status, description)

    def update_name(self, name: str) -> None:
        """Change the name, as the SDK does."""
        if self.is_light and self._end_time is None and name.__class__ is str:
            self._name = name
            return
        super().update_name(name)

    def enrich(self, attributes: dict[str, AttributeValue]) -> None:
        """Set attributes with plain values; an ended span does not change."""
        if self._end_time is not None:
            return
        if self._built:
            self.set_attributes(attributes)
        elif self.added is None:
            self.added = attributes
        else:
            updated(self.added, attributes)

    def link(self, links: Sequence[Link]) -> None:
        """Add links; an ended span does not change."""
        if self._end_time is not None:
            return
        if self._built:
            for link in links:
                self.add_link(link.context, link.attributes)
        else:
            # Links to many messages stay as they are, to be made on demand.
            self.added_links = (*self.added_links, *links) if self.added_links else links

    def end(self, end_time: int | None = None) -> None:
        """End the span; one that was never read stays light."""
        if self._built or self._end_time is not None:
            super().end(end_time)
            return
        self._end_time = time_ns() if end_time is None else end_time
        processor = self._tracer.span_processor
        processor._on_ending(self)
        processor.on_end(self)

    def _is_free(self, key: str) -> bool:
        """Return whether an attribute of this name would be a new one."""
        return key.__class__ is str and key != "" and key not in self._shared_attributes

    def _are_free(self, attributes: Mapping[str, Any]) -> bool:
        """Return whether all of these would be new ones."""
        return attributes.keys().isdisjoint(self._shared_attributes)

    def _first_added(self) -> dict[str, Any]:
        with _lock:
            if self.added is None:
                self.added = {}
            return self.added

    def _keep_event(self, event: LightEvent) -> bool:
        with _lock:
            events = self.light_events
            if not self.is_light or (events is not None and len(events) >= _MAX_EVENTS):
                return False
            if events is None:
                events = self.light_events = []
            events.append(event)
            return True

    def _all_attributes(self) -> dict[str, Any]:
        return updated({**self._shared_attributes}, self.added or {})

    def _build(self) -> None:
        with _lock:
            self.is_light = False
            events = self.light_events or ()
        parts = _SdkSpan(
            name=self._name,
            context=self.get_span_context(),
            parent=self._parent,
            sampler=self._tracer.sampler,
            resource=self._tracer.resource,
            attributes=self._all_attributes(),
            events=[sdk.Event(*event) for event in events],
            links=self.added_links,
            kind=self._kind,
            span_processor=self._tracer.span_processor,
            instrumentation_info=self._tracer.instrumentation_info,
            limits=self._limits,
            instrumentation_scope=self._scope,
        ).__dict__
        if self._end_time is not None:
            parts["_attributes"]._immutable = True
        mine = self.__dict__
        # Keep times and status: another exporter's thread may be reading them right now.
        for name, value in parts.items():
            mine.setdefault(name, value)
        self._built = True


class _SdkSpan(sdk.Span):
    """The SDK's span class, which only a tracer may instantiate; its parts go to a light span."""


class _Part:
    """A part of the SDK's span that a light span has once it is built."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, span: Any, owner: type | None = None) -> Any:
        if span is None:
            return self
        span._build()
        # From now on the span's own attribute hides this one.
        return span.__dict__[self._name]


# Those that every light span has from the start.
_FIRST: Final = {
    "_name", "_context", "_parent", "_kind", "_start_time", "_end_time", "_status",
}  # fmt: skip

LightSpan.built_parts = frozenset(
    name
    for name in vars(_SdkSpan("", INVALID_SPAN_CONTEXT, resource=Resource.get_empty()))
    if name not in _FIRST and not hasattr(LightSpan, name)
)
for _name in LightSpan.built_parts:
    setattr(LightSpan, _name, _Part(_name))
