"""The edge between HTTP callers and a pipeline: which tracing headers of a request count.

A caller's `traceparent` with the sampled flag off switches tracing off for all that its request
begins, and its `baggage` travels on with every event. Callers that are not one's own should be
able to do neither.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from opentelemetry import propagate
from opentelemetry.context import Context, attach, detach, get_current

from tracing.core.otel_context import BAGGAGE_KEY, FLOW_KEY
from tracing.headers.codec import latest
from tracing.headers.flow import NO_FLOW, RESERVED, trusted_caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping

    from opentelemetry.trace import Span

    from tracing.headers.codec import Header
    from tracing.telemetry import Telemetry

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Caller = Literal["trust", "link", "ignore"]

_CALLERS: Final = frozenset({"trust", "link", "ignore"})
_SCOPE_KEY: Final = "pipeline_tracing.caller"
# One header an entry: the baggage of the Jaeger propagator.
_BAGGAGE_PREFIX: Final = "uberctx-"
_NOWHERE: Final = ""
_LEAST_SECRET: Final = 16


class HttpBoundary:
    """ASGI middleware that decides what a caller's tracing headers may do.

    Put it outside of the middleware that makes server spans, so that this one never sees what must
    not count::

        app = HttpBoundary(OpenTelemetryMiddleware(app), telemetry, caller="ignore")

    It works with HTTP and WebSocket requests of any ASGI framework, and needs none. With
    `link`, the server span is linked to the caller's by a hook, which the usual ASGI middleware
    and those of FastAPI and Starlette take as `server_request_hook`::

        instrumented = OpenTelemetryMiddleware(app, server_request_hook=HttpBoundary.link)
        app = HttpBoundary(instrumented, telemetry, caller="link")

    One's own services show a shared secret where outsiders call too, and count as `trust`::

        app = HttpBoundary(instrumented, telemetry, caller="link", secrets=(secret,))
        client = httpx.AsyncClient(headers={HttpBoundary.CALLER_HEADER: secret})

    A call-back of a service that handles a message is then part of the message's trace. Send the
    secret only where others cannot read it: over TLS, or on the loopback interface.

    Context headers that an application copies from a request to a record count as those of a stored
    record, with the flow that they name. With `link` and `ignore`, it does not see them.

    Args:
        app: The application inside; with `trust`, what it extracts from the headers counts.
        telemetry: What the service's clients share.
        caller: What callers are. `trust`: parts of the own system; their trace, sampling decision
            and baggage go on, and the flow that they are in as well, where its origin is
            plausible. `link`: outsiders that can be correlated; requests begin traces and flows
            of their own, sampled as this service decides, and the server span has a link to the
            caller's. `ignore`: as `link`, without the link.
        secrets: Secrets that one's own services share, from a secret store and not from the code,
            each of at least 16 characters. Requests whose header `x-pipeline-caller` is one of
            them count as `trust`, all others as `caller` says. Several, so that one can be
            replaced while services still use it. A caller that has it may decide about sampling
            and name a flow, and nothing else. The application does not see the header, so that it
            is neither recorded nor passed on.

    Raises:
        TypeError: `secrets` is no collection of texts.
        ValueError: `caller` is none of the three, or a secret is too short or not plain ASCII.

    Source: https://www.w3.org/TR/trace-context/, section 6 (security), and
    https://www.w3.org/TR/baggage/, section 4 (privacy): untrusted boundaries.

    Task safety: any number of requests at a time.
    """

    CALLER_HEADER: ClassVar[str] = "x-pipeline-caller"
    """The header in which one's own services show a secret."""

    def __init__(
        self,
        app: AsgiApplication,
        telemetry: Telemetry,
        *,
        caller: Caller = "link",
        secrets: Collection[str] = (),
    ) -> None:
        if caller not in _CALLERS:
            raise ValueError(f"caller must be 'trust', 'link' or 'ignore', not {caller!r}")
        self._app = app
        self._propagation = telemetry.propagation
        self._caller = caller
        self._secrets = _encoded(secrets)
        # Server spans are made by the global propagator, whatever the telemetry's own is.
        fields = self._propagation.fields | propagate.get_global_textmap().fields
        self._fields = frozenset(name.lower() for name in fields)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        headers: Iterable[tuple[bytes, bytes]] | None = scope.get("headers")
        if headers is None:
            await self._app(scope, receive, send)
            return
        # ASGI allows an iterable that can be read only once.
        given = list(headers)
        caller = self._caller
        shown = [value for name, value in given if name.lower() == _CALLER_HEADER]
        if shown:
            given = [pair for pair in given if pair[0].lower() != _CALLER_HEADER]
            if self._is_own(shown):
                caller = "trust"
        pairs = [(name.decode("latin-1").lower(), value) for name, value in given]
        carried: list[Header] = [pair for pair in pairs if self._is_context(pair[0])]
        flow: Mapping[str, object] = NO_FLOW
        scope = {**scope, "headers": given}
        if caller == "trust":
            flow = self._flow_of(carried)
        elif carried:
            scope["headers"] = [
                (name.encode("latin-1"), value)
                for name, value in pairs
                if not self._is_context(name)
            ]
            if caller == "link":
                scope[_SCOPE_KEY] = self._propagation.creation(carried, latest(carried), _NOWHERE)
        # A server that was started inside a flow hands that flow to all of its requests.
        around = {
            key: value for key, value in get_current().items() if key not in {BAGGAGE_KEY, FLOW_KEY}
        }
        token, trusted = attach(Context(around)), trusted_caller.set(flow)
        try:
            await self._app(scope, receive, send)
        finally:
            trusted_caller.reset(trusted)
            detach(token)

    @staticmethod
    def link(span: Span, scope: Mapping[str, Any]) -> None:
        """Link a server span to its caller's span, where the boundary noted one.

        For `server_request_hook`. No effect without a boundary whose `caller` is `link`.
        """
        caller: Span | None = scope.get(_SCOPE_KEY)
        if caller is not None and span.is_recording():
            span.add_link(caller.get_span_context())

    def _is_own(self, shown: Iterable[bytes]) -> bool:
        # All are compared, in constant time: how long the answer takes must not help to guess.
        return sum(compare_digest(value, own) for value in shown for own in self._secrets) > 0

    def _is_context(self, name: str) -> bool:
        return name in self._fields or name.startswith(_BAGGAGE_PREFIX)

    def _flow_of(self, carried: list[Header]) -> Mapping[str, object]:
        if not carried:
            return NO_FLOW
        _, found, _ = self._propagation.extract(carried, latest(carried), _NOWHERE)
        return {name: value for name, value in found.items() if name.startswith(RESERVED)}


_CALLER_HEADER: Final = HttpBoundary.CALLER_HEADER.encode()


def _encoded(secrets: Collection[str]) -> tuple[bytes, ...]:
    # A text would be taken for secrets of one character each.
    if isinstance(secrets, str) or not all(isinstance(secret, str) for secret in secrets):
        raise TypeError("secrets must be a collection of texts, as (secret,)")
    for secret in secrets:
        if len(secret) < _LEAST_SECRET or not secret.isascii() or not secret.isprintable():
            # Not the secret itself: errors are logged.
            raise ValueError(
                f"a secret must be at least {_LEAST_SECRET} printable ASCII characters, such as "
                "secrets.token_urlsafe() makes"
            )
    return tuple(secret.encode() for secret in secrets)
