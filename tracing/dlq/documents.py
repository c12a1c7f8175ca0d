"""Dead letters as data, for JSON and for pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracing.core.times import iso_time
from tracing.dlq.replayed import ReplayState
from tracing.headers.cloudevents import CloudEvent
from tracing.headers.dead_letter import Replay

if TYPE_CHECKING:
    from tracing.dlq.reading import Letter
    from tracing.dlq.replayed import ReplayStatus

_PAYLOAD: Final = 2000
_NAME: Final = 200
_NAMES: Final = 256


def trace_id_of(dead_letter: Letter) -> str | None:
    """Return the failed trace's id, as 32 hexadecimal digits."""
    context = dead_letter.context
    return None if context is None else f"{context.trace_id:032x}"


def dead_letter_document(
    dead_letter: Letter,
    *,
    trace_url: str | None = None,
    payload: bool = False,
    stacktrace: bool = False,
    refusal: str | None = None,
    status: ReplayStatus | None = None,
) -> dict[str, Any]:
    """Return a dead letter as data for JSON; key and value only if `payload`.

    Args:
        dead_letter: The dead letter.
        trace_url: The URL of a trace, with `{trace_id}` for its id.
        payload: Whether to include key and value.
        stacktrace: Whether to include the stack trace.
        refusal: Why it is not replayed, if it is not.
        status: What is known about its replays.
    """
    document: dict[str, Any] = {"id": str(dead_letter.id)}
    document |= {} if status is None else status_document(status)
    document |= {
        name: remark
        for name, remark in (("problem", dead_letter.problem), ("not_replayed", refusal))
        if remark is not None
    }
    provenance = dead_letter.provenance
    if provenance is not None:
        document |= {
            "topic": provenance.topic,
            "partition": provenance.partition,
            "offset": provenance.offset,
            "timestamp": iso_time(provenance.timestamp_ms),
            "group": provenance.group,
            "written_by": provenance.written_by,
            **dict(provenance.details),
            "error": provenance.exception,
            "message": provenance.message,
            "attempts": provenance.attempts,
            "first_failed_at": iso_time(provenance.first_failed_at_ms),
            "failed_at": iso_time(provenance.failed_at_ms),
        }
        if stacktrace and provenance.stacktrace is not None:
            document["stacktrace"] = provenance.stacktrace
    event = CloudEvent.from_headers(dead_letter.record.headers)
    if event is not None:
        document["event"] = {
            "id": event.id, "source": event.source, "type": event.type, "subject": event.subject,
            "time": event.time,
        }  # fmt: skip
    trace_id = trace_id_of(dead_letter)
    if trace_id is not None:
        document["trace_id"] = trace_id
        if trace_url:
            document["trace"] = trace_url.replace("{trace_id}", trace_id)
    replay = Replay.from_headers(dead_letter.record.headers)
    if replay is not None:
        document["replay_of"] = replay.id
    names = sorted({str(name)[:_NAME] for name, _ in dead_letter.record.headers[:_NAMES]})
    document["headers"] = names
    value = dead_letter.record.value
    document["value_bytes"] = None if value is None else len(value)
    return document | _payload(dead_letter) if payload else document


def _payload(dead_letter: Letter) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, content in (("key", dead_letter.record.key), ("value", dead_letter.record.value)):
        shown[name] = (
            None if content is None else content[:_PAYLOAD].decode("utf-8", "backslashreplace")
        )
        if content is not None and len(content) > _PAYLOAD:
            shown[f"{name}_cut_to_bytes"] = _PAYLOAD
    return shown


def status_document(status: ReplayStatus) -> dict[str, Any]:
    """Return what is known about the replays of a dead letter, as data for JSON."""
    document: dict[str, Any] = {"replayed": status.state.value}
    if status.state is ReplayState.YES:
        document |= {
            "replayed_at": iso_time(status.at_ms),
            "replays": status.times,
            "edited": status.edited,
        }
    elif status.state is ReplayState.PERHAPS:
        document["replay_begun_at"] = iso_time(status.at_ms)
    return document


def status_words(status: ReplayStatus) -> str | None:
    """Return what is known about the replays of a dead letter; `None` if there was none."""
    if status.state is ReplayState.YES:
        edited = " edited," if status.edited else ""
        times = f" {status.times} times, last" if status.times > 1 else ""
        return f"replayed{edited}{times} at {iso_time(status.at_ms)}"
    if status.state is ReplayState.PERHAPS:
        return f"perhaps replayed at {iso_time(status.at_ms)}"
    return "perhaps replayed" if status.state is ReplayState.UNKNOWN else None
