"""Schemas: which versions are written and read, and what cannot be read."""

from __future__ import annotations

from typing import Final

from dashboards.model.labels import OUTCOME, SERVICE, SUBJECT, VERSION
from dashboards.model.signal import EACH_POINT, Signal, Threshold
from tracing.metrics.catalog import SCHEMA_RECORDS

_VERSION: Final = f"{{{{{SUBJECT}}}}} version {{{{{VERSION}}}}}"
_CODED: Final = f'{OUTCOME}=~"written|read"'
_FAILED: Final = f'{OUTCOME}=~"undecodable|unknown_id"'
_VERSIONS: Final = (SUBJECT, VERSION, OUTCOME)
_FAILURE: Final = (SERVICE, SUBJECT, VERSION, OUTCOME)

VERSIONS: Final = Signal(
    title="Schema versions in flight",
    description="Versions of each subject that services write and read, in messages per second. "
    "After a deployment, the new version should replace the old one at the writers first. A "
    "version that is read and no longer written comes from old records or a replay.",
    unit="cps",
    expr=lambda scope: f"{scope.rate(SCHEMA_RECORDS, _CODED, by=_VERSIONS)} > 0",
    legend=f"{_VERSION} {{{{{OUTCOME}}}}}",
)
FAILURES: Final = Signal(
    title="Decode failures",
    description="Messages that could not be decoded: the registry does not know their schema "
    "(unknown_id), or the bytes do not fit it (undecodable). They become dead letters, whose "
    f"reason says more. {EACH_POINT}",
    unit="locale",
    expr=lambda scope: scope.increase(SCHEMA_RECORDS, _FAILED, by=_FAILURE),
    legend=f"{{{{{SERVICE}}}}} ← {_VERSION}: {{{{{OUTCOME}}}}}",
    thresholds=(Threshold(1, "warning"), Threshold(10, "critical")),
)
