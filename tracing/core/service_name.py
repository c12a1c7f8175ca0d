"""The service's name, as the standard environment variables give it."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote

SERVICE_NAME_VARIABLE: Final = "OTEL_SERVICE_NAME"
RESOURCE_VARIABLE: Final = "OTEL_RESOURCE_ATTRIBUTES"
_ATTRIBUTE: Final = "service.name"


def service_name() -> str | None:
    """Return the name that the SDK would take; `None` where the environment gives none.

    `OTEL_SERVICE_NAME` goes before `service.name` in `OTEL_RESOURCE_ATTRIBUTES`, of which the last
    one counts, as OpenTelemetry's specification of environment variables and its SDK have it.
    """
    named = os.environ.get(SERVICE_NAME_VARIABLE, "").strip()
    if named:
        return named
    found = None
    for entry in os.environ.get(RESOURCE_VARIABLE, "").split(","):
        name, equals, value = entry.partition("=")
        if equals and name.strip() == _ATTRIBUTE:
            found = unquote(value.strip())
    return found or None
