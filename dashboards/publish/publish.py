"""Upload dashboards to a running Grafana."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from dashboards.publish.grafana_api import PROVISIONED, PublishError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dashboards.publish.grafana_api import GrafanaApi

_MIN_VERSION: Final = 12

Change = Literal["new", "changed", "changed and moved", "moved", "unchanged"]


@dataclass(frozen=True, slots=True)
class Published:
    """The result for one dashboard.

    Attributes:
        uid: The uid of the dashboard.
        change: What changed in Grafana.
        difference: A unified diff from Grafana's dashboard to the new one; empty for a new one.
    """

    uid: str
    change: Change
    difference: str


def check_version(grafana: GrafanaApi) -> bool:
    """Check that Grafana is new enough for the dashboards.

    Returns:
        Whether Grafana reports its version; if it hides it, it is assumed to be new enough.

    Raises:
        PublishError: Grafana is too old, or the server is not Grafana.
    """
    health = grafana.get("/api/health")
    if health is None or grafana.part(health, "database", str, "") != "ok":
        raise PublishError("--url does not answer like Grafana, or its database is down")
    version = grafana.part(health, "version", str, "")
    major = re.match(r"\d+", version)
    if major is None:
        return False
    if int(major.group()) < _MIN_VERSION:
        raise PublishError(
            f"Grafana {version} is too old; the dashboards need {_MIN_VERSION} or newer"
        )
    return True


def publish_dashboards(
    grafana: GrafanaApi, dashboards: Sequence[str], *, folder: str, message: str, dry_run: bool
) -> Iterator[Published]:
    """Upload dashboards one by one; those that are up to date are not touched.

    Args:
        grafana: The Grafana to upload to.
        dashboards: The dashboards as JSON.
        folder: The uid of the folder, created if it is missing; empty to leave each where it is.
        message: The message in the dashboards' history. A digest is added, which shows later
            whether the last save was ours.
        dry_run: Whether to only compare.

    Yields:
        The result for each dashboard.

    Raises:
        PublishError: Grafana does not accept a dashboard; the message names it and says how many
            were uploaded before.
    """
    if folder and not dry_run and grafana.get(f"/api/folders/{folder}", hidden=True) is None:
        grafana.post("/api/folders", {"uid": folder, "title": folder.capitalize()})
    for done, text in enumerate(dashboards):
        wanted = json.loads(text)
        note = f"{message} ({hashlib.sha256(text.encode()).hexdigest()[:12]})"
        try:
            published = _publish(grafana, wanted, folder, note, dry_run=dry_run)
        except PublishError as error:
            uid, count = wanted["uid"], f"{done} of {len(dashboards)} dashboards"
            raise PublishError(f"{uid}: {error}\n{uid} failed after {count}") from error
        yield published


def _publish(
    grafana: GrafanaApi, wanted: dict[str, Any], folder: str, message: str, *, dry_run: bool
) -> Published:
    uid = str(wanted["uid"])
    stored = grafana.get(f"/api/dashboards/uid/{uid}")
    change: Change = "new"
    place, difference = folder, ""
    if stored is not None:
        meta = grafana.part(stored, "meta", dict, {})
        if meta.get("provisioned"):
            raise PublishError(PROVISIONED)
        before = grafana.part(stored, "dashboard", dict)
        difference = _difference(uid, _limited_to(before, wanted), wanted)
        if not difference and _last_note(grafana, uid) not in {None, message}:
            # A field was added in Grafana, or is no longer generated.
            difference = _difference(uid, _without_bookkeeping(before), wanted)
        current = str(meta.get("folderUid") or "")
        place = folder or current
        change = _change(changed=bool(difference), moved=place != current)
    if change != "unchanged" and not dry_run:
        body = {"dashboard": wanted, "folderUid": place, "message": message, "overwrite": True}
        grafana.post("/api/dashboards/db", body)
    return Published(uid, change, difference)


def _change(*, changed: bool, moved: bool) -> Change:
    if changed:
        return "changed and moved" if moved else "changed"
    return "moved" if moved else "unchanged"


def _last_note(grafana: GrafanaApi, uid: str) -> str | None:
    """Return the message of the last save, if Grafana shows it."""
    history = grafana.get(f"/api/dashboards/uid/{uid}/versions?limit=1", hidden=True)
    match grafana.part(history or {}, "versions", list, []):
        case [{"message": str(note)}, *_]:
            return note
    return None


def _without_bookkeeping(stored: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stored.items() if key not in {"id", "version"}}


def _limited_to(stored: Any, wanted: Any) -> Any:
    """Return what Grafana stores, without the fields that it adds, such as defaults."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return {
            key: _limited_to(value, wanted[key]) for key, value in stored.items() if key in wanted
        }
    if isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        return [_limited_to(*pair) for pair in zip(stored, wanted, strict=True)]
    if isinstance(stored, int | float) and isinstance(wanted, float) and stored == wanted:
        # JSON has one kind of number: Grafana may return 5.0 as 5.
        return wanted
    return stored


def _difference(uid: str, before: Any, after: Any) -> str:
    names = f"{uid} in Grafana", f"{uid} generated"
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), *names, lineterm=""))


def _lines(dashboard: Any) -> list[str]:
    return json.dumps(dashboard, sort_keys=True, indent=1).splitlines()
