"""The reference names what the code writes."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT
from tracing.core import semconv
from tracing.headers import cloudevents, dead_letter

REFERENCE = ROOT / "docs" / "reference"


def test_every_attribute_and_span_event_is_in_the_reference() -> None:
    text = (REFERENCE / "spans.md").read_text()
    written = {
        value
        for name, value in vars(semconv).items()
        if name.isupper() and isinstance(value, str)
        if re.match(r"(messaging|pipeline|kafka|cloudevents|exception)\.", value)
    }

    assert [] == [name for name in sorted(written) if f"`{name}`" not in text]


def test_every_variable_of_the_environment_is_in_the_reference() -> None:
    text = (REFERENCE / "options.md").read_text()
    read = {
        name
        for path in (ROOT / "tracing").rglob("*.py")
        for name in re.findall(r"PIPELINE_TRACING_[A-Z_]+[A-Z]", path.read_text())
    }

    assert len(read) > 10
    assert [] == [name for name in sorted(read) if f"`{name}`" not in text]


def test_every_header_is_in_the_reference() -> None:
    text = (REFERENCE / "headers.md").read_text()
    errors = {name.removeprefix(dead_letter.ERRORS) for name in dead_letter.ERROR_HEADERS}
    event = {
        *(cloudevents.SPECVERSION, cloudevents.ID, cloudevents.SOURCE, cloudevents.TYPE),
        *(cloudevents.TIME, cloudevents.SUBJECT, cloudevents.CONTENT_TYPE),
    }

    assert [] == [
        name
        for name in sorted(errors | event | dead_letter.REPLAY_HEADERS)
        if f"`{name}`" not in text
    ]
