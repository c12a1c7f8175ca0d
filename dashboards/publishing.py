"""Bringing dashboards into a running Grafana by its HTTP API."""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN_VARIABLE: Final = "GRAFANA_TOKEN"  # noqa: S105 - the name of a variable
"""Where the token of a service account comes from; it is never an argument."""
_OLDEST: Final = 12
# Grafana counts these itself.
_ITS_OWN: Final = frozenset({"id", "version"})

Change = Literal["new", "changed", "unchanged"]


class PublishError(Exception):
    """Grafana cannot take the dashboards; the message says why, and what mends it."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one dashboard.

    Attributes:
        uid: Which one.
        change: Whether it was there, and how it was.
        difference: A unified diff from what was there; empty where nothing was.
    """

    uid: str
    change: Change
    difference: str


class Grafana:
    """One Grafana. For one thread.

    Args:
        client: With Grafana's address as its base URL, and the token among its headers.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def check_version(self) -> None:
        """Look whether it knows what the dashboards use.

        Raises:
            PublishError: It is too old, or no Grafana at all.
        """
        version = str(self._asked("GET", "/api/health").get("version", ""))
        major = re.match(r"\d+", version)
        if major is None:
            raise PublishError(f"{self._client.base_url} does not answer as Grafana does")
        if int(major.group()) < _OLDEST:
            raise PublishError(
                f"this is Grafana {version}; the dashboards need {_OLDEST} or newer: upgrade it"
            )

    def publish(
        self, dashboards: Iterable[str], *, folder: str, message: str, dry_run: bool
    ) -> list[Published]:
        """Bring dashboards up to date; those that are so already are left alone.

        Args:
            dashboards: As JSON.
            folder: The uid of the folder; made where it is missing. Empty for none.
            message: What is noted in the dashboards' history.
            dry_run: Whether to look at the differences only.

        Raises:
            PublishError: Grafana does not take them.
        """
        if folder and not dry_run:
            self._make_folder(folder)
        return [
            self._publish(json.loads(written), folder, message, dry_run=dry_run)
            for written in dashboards
        ]

    def _publish(
        self, wanted: dict[str, Any], folder: str, message: str, *, dry_run: bool
    ) -> Published:
        uid = str(wanted["uid"])
        found = self._asked("GET", f"/api/dashboards/uid/{uid}", missing_ok=True)
        before = _lines(found.get("dashboard", {})) if found else []
        after = _lines(wanted)
        moved = bool(found) and found.get("meta", {}).get("folderUid", "") != folder
        if before == after and not moved:
            return Published(uid, "unchanged", "")
        names = f"{uid} in Grafana", f"{uid} generated"
        differences = difflib.unified_diff(before, after, *names, lineterm="") if found else ()
        if not dry_run:
            body = {"dashboard": wanted, "folderUid": folder, "message": message, "overwrite": True}
            self._asked("POST", "/api/dashboards/db", body)
        return Published(uid, "changed" if found else "new", "\n".join(differences))

    def _make_folder(self, uid: str) -> None:
        if not self._asked("GET", f"/api/folders/{uid}", missing_ok=True):
            self._asked("POST", "/api/folders", {"uid": uid, "title": uid.capitalize()})

    def _asked(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        missing_ok: bool = False,
    ) -> dict[str, Any]:
        """Ask Grafana; an empty answer stands for what is missing, where that is no error."""
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise PublishError(
                f"Grafana does not answer at {self._client.base_url} ({type(error).__name__})"
            ) from error
        if answer.status_code == httpx.codes.NOT_FOUND and missing_ok:
            return {}
        if answer.is_error:
            raise PublishError(_said(answer, path))
        try:
            found: dict[str, Any] = answer.json()
        except ValueError as error:
            raise PublishError(
                f"{self._client.base_url} does not answer as Grafana does"
            ) from error
        return found


def _said(answer: httpx.Response, path: str) -> str:
    try:
        message = str(answer.json().get("message", ""))
    except (ValueError, AttributeError):
        message = ""
    mend = {
        401: f"Grafana refuses the token; put one of a service account into {TOKEN_VARIABLE}",
        403: "the token may not do that; its service account needs the role Editor",
        404: "Grafana does not know that; is --url its root, with its sub-path if it has one?",
        412: "somebody else changed the dashboard, or it is provisioned from a file: use one way",
    }.get(answer.status_code, "Grafana refuses")
    return f"{mend} ({answer.status_code} on {path}{': ' if message else ''}{message})"


def _lines(dashboard: dict[str, Any]) -> list[str]:
    kept = {key: value for key, value in dashboard.items() if key not in _ITS_OWN}
    return json.dumps(kept, sort_keys=True, indent=1).splitlines()
