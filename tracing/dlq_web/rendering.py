"""Make pages from templates.

Nearly all texts on a page come from records, and anyone who may write to a topic writes them. So
every value is escaped for HTML, and characters that are not seen, or that move others, are shown
as escapes.
"""

from __future__ import annotations

from glob import escape
from shlex import quote
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from markupsafe import escape as escape_html
from starlette.responses import HTMLResponse

from tracing.core.text import counted, printable
from tracing.core.times import age, iso_time
from tracing.dlq.documents import status_words
from tracing.dlq_web.choice import Choice

if TYPE_CHECKING:
    from starlette.responses import Response

    from tracing.dlq.reading import Letter
    from tracing.dlq_web.guard import Secrets
    from tracing.dlq_web.problems import PageError
    from tracing.dlq_web.settings import Settings

_LONGEST: Final = 4096


class Rendering:
    """Makes pages.

    Args:
        settings: The options of the server.
        secrets: The secrets of this start, for addresses and forms.
    """

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        self._environment = Environment(
            loader=PackageLoader("tracing.dlq_web"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals |= {
            "base": secrets.base,
            "form_secret": secrets.form,
            "servers": settings.connection.bootstrap_servers,
            "settings": settings,
            "letter_path": lambda place, **more: _whole(
                f"{secrets.base}/letter?{urlencode({'id': str(place), **more}, errors='replace')}"
            ),
            "letters_path": lambda choice: _whole(
                f"{secrets.base}/letters?{choice.linkable.query}"
            ),
        }
        self._environment.filters |= {
            "age": age,
            "counted": counted,
            "state": status_words,
            "time": iso_time,
        }

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """Return a page.

        Args:
            template: The name of the template.
            status: The status of the response.
            values: What the template shows.
        """
        text = self._environment.get_template(f"{template}.html").render(values)
        return HTMLResponse(text, status)

    def problem(self, error: PageError, retry: str | None = None) -> Response:
        """Return the page of an error.

        Args:
            error: The error.
            retry: The address that may work later.
        """
        return self.page("problem", error.status, error=error, retry=retry and _whole(retry))


def group_choice(key: tuple[str, str, str, str], *, waiting: bool = False) -> Choice:
    """Return the choice of the dead letters of a group in a summary."""
    topic, source, group, error = key
    return Choice(topic=topic, source=source, group=group, error=error, waiting=waiting)


def trace_link(settings: Settings, dead_letter: Letter) -> str | None:
    """Return the address of the failed trace; `None` without a template or a trace."""
    context = dead_letter.context
    if context is None or settings.trace_url is None:
        return None
    return settings.trace_url.replace("{trace_id}", f"{context.trace_id:032x}")


def command_for(choice: Choice, settings: Settings) -> Markup | None:
    """Return the command that replays all dead letters of a choice, for a shell.

    It is `None` if a text cannot be typed: the command would select others.
    """
    servers = settings.connection.bootstrap_servers
    options = [("--bootstrap-servers", servers), ("--topic", choice.topic)]
    # An empty text selects, too: those without a group, or without an error.
    options += [("--group", choice.group)] if choice.group is not None else []
    options += [("--error", escape(choice.error))] if choice.error is not None else []
    if any(printable(text) != text for _, text in options):
        return None
    chosen = [f"{name} {quote(text)}" for name, text in options]
    chosen += ["--not-replayed"] if choice.waiting else []
    return _whole(f"python -m tracing dlq replay {' '.join(chosen)} --dry-run")


def _whole(text: str) -> Markup:
    """Return a text that is of use only as a whole: an address, or a command."""
    return Markup(escape_html(text))  # noqa: S704 - it is escaped


def _shown(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, _LONGEST)
    return value
