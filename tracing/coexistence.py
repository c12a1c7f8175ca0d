"""Living beside other instrumentation of the same client: nothing is counted twice.

The official aiokafka instrumentation and our own zero-code instrumentor replace methods of
aiokafka's classes. A wrapped client calls what is beneath such a replacement.
"""

import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from tracing.diagnostics import warn_once

OFFICIAL: Final = "opentelemetry.instrumentation.aiokafka"
OWN: Final = "tracing.instrumentor"


_Method = TypeVar("_Method", bound=Callable[..., Any])


def present() -> bool:
    """Whether anything is loaded that may have replaced a client's methods."""
    return OFFICIAL in sys.modules or OWN in sys.modules


def beneath(method: _Method) -> _Method:
    """Find a client's own method beneath instrumentation that would repeat ours.

    Replacements by anybody else stay: they are not ours to skip, so the search ends there.
    """
    # Only these two modules replace what we wrap; where neither is loaded, this is the fast way.
    if not present():
        return method
    while True:
        wrapper = getattr(method, "_self_wrapper", None)
        inner = getattr(method, "__wrapped__", None)
        module = getattr(wrapper, "__module__", "") or ""
        if inner is None or not module.startswith((OFFICIAL, OWN)):
            return method
        if module.startswith(OFFICIAL):
            warn_once(
                "opentelemetry-instrumentation-aiokafka is active on a client that is wrapped by "
                "pipeline-tracing; its spans are left out there, so that nothing is counted twice. "
                "To switch it off altogether: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=aiokafka"
            )
        method = cast("_Method", inner)
