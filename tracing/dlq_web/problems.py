"""Why a page cannot be shown, for the operator."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

ASK_THE_TERMINAL: Final = (
    "Open the address that the server printed in its terminal when it was started. If you came "
    "here from another program or site, load this page again."
)


class PageError(Exception):
    """A page cannot be shown.

    Attributes:
        status: The status of the response.
        title: What is wrong, as a heading.
        text: What the operator can do.
    """

    def __init__(self, status: HTTPStatus, title: str, text: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text


def not_found(what: str) -> PageError:
    """Return the error of a topic or a dead letter that does not exist."""
    return PageError(HTTPStatus.NOT_FOUND, what, "It may have been purged since the list was made.")


def not_valid(why: object) -> PageError:
    """Return the error of an address or a form that is not valid."""
    return PageError(HTTPStatus.BAD_REQUEST, "This address is not valid", f"{why}.")


def too_far_apart(seconds: float) -> PageError:
    """Return the error of dead letters between which too much has to be read."""
    return PageError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "These dead letters could not be read in time",
        f"Reading was stopped after {seconds:g} s. Select fewer of them, or raise --read-time.",
    )


def not_allowed() -> PageError:
    """Return the error of a replay on a server that only reads."""
    return PageError(
        HTTPStatus.FORBIDDEN,
        "This server does not replay",
        "It was started without --allow-replay.",
    )


def no_answer(why: str) -> PageError:
    """Return the error of a cluster that cannot be used."""
    return PageError(HTTPStatus.SERVICE_UNAVAILABLE, "The cluster cannot be read", why)


def stopped() -> PageError:
    """Return the error of a page that was not made before the server ended."""
    return PageError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The server was stopped",
        "Start it again. What it sent, if anything, is shown with each dead letter.",
    )
