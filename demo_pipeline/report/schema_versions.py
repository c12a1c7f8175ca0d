"""Which versions of a message's schema each service wrote and read."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from demo_pipeline.report.model import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from demo_pipeline.report.model import SpanFacts

_SUBJECT: Final = "pipeline.schema.subject"
_VERSION: Final = "pipeline.schema.version"
_READER: Final = "pipeline.schema.reader.version"


@dataclass(frozen=True, slots=True)
class SchemaVersions:
    """What one service did with the messages of one subject.

    Attributes:
        subject: The subject of the schema.
        service: The service.
        written: How many it wrote, by version.
        read: How many it read, by the version that they were written with.
        readers: The versions that it read them with.
    """

    subject: str
    service: str
    written: Mapping[int, int]
    read: Mapping[int, int]
    readers: tuple[int, ...]


@dataclass(slots=True)
class _Seen:
    written: Counter[int] = field(default_factory=Counter)
    read: Counter[int] = field(default_factory=Counter)
    readers: set[int] = field(default_factory=set)


def schema_versions(spans: Iterable[SpanFacts]) -> tuple[SchemaVersions, ...]:
    """Return the use of all subjects of which more than one version is at work.

    Args:
        spans: All spans of the run.

    Returns:
        By subject, first the services that write it.
    """
    seen: defaultdict[str, defaultdict[str, _Seen]] = defaultdict(lambda: defaultdict(_Seen))
    for span in spans:
        subject, version = span.attributes.get(_SUBJECT), span.attributes.get(_VERSION)
        if not isinstance(subject, str) or not isinstance(version, int):
            continue
        of_service = seen[subject][span.service]
        if span.role is Role.SEND:
            of_service.written[version] += 1
        elif span.role is Role.PROCESS:
            reader = span.attributes.get(_READER, version)
            of_service.read[version] += 1
            of_service.readers |= {reader} if isinstance(reader, int) else set()
    found = [
        SchemaVersions(subject, service, each.written, each.read, tuple(sorted(each.readers)))
        for subject, services in seen.items()
        if len(_versions(services.values())) > 1
        for service, each in services.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.subject, not each.written, each.service)))


def _versions(uses: Iterable[_Seen]) -> set[int]:
    return {version for use in uses for version in (*use.written, *use.read, *use.readers)}
