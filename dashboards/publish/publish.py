"""Bringing dashboards into a running Grafana."""

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

_OLDEST: Final = 12

Change = Literal["new", "changed", "changed and moved", "moved", "unchanged"]


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


def check_version(grafana: GrafanaApi) -> bool:
    """Look whether Grafana knows what the dashboards use.

    Returns:
        Whether it says its version: one that hides it is trusted.

    Raises:
        PublishError: It is too old, or no Grafana at all.
    """
    health = grafana.get("/api/health")
    if health is None or grafana.part(health, "database", str, "") != "ok":
        raise PublishError("--url does not answer as Grafana does, or its database is down")
    version = grafana.part(health, "version", str, "")
    major = re.match(r"\d+", version)
    if major is None:
        return False
    if int(major.group()) < _OLDEST:
        raise PublishError(
            f"this is Grafana {version}; the dashboards need {_OLDEST} or newer: upgrade it"
        )
    return True


def publish_dashboards(
    grafana: GrafanaApi, dashboards: Sequence[str], *, folder: str, message: str, dry_run: bool
) -> Iterator[Published]:
    """Bring dashboards up to date, one after the other; those that are so already are left alone.

    Args:
        grafana: Where to.
        dashboards: As JSON.
        folder: The uid of the folder; made where it is missing. Empty to leave each where it is.
        message: What is noted in the dashboards' history, beside a digest by which it is seen
            later whether somebody else saved one.
        dry_run: Whether to look at the differences only.

    Yields:
        What became of each, once it is done.

    Raises:
        PublishError: Grafana does not take one; says which, and how many before it are done.
    """
    if folder and not dry_run and grafana.get(f"/api/folders/{folder}", hidden=True) is None:
        grafana.post("/api/folders", {"uid": folder, "title": folder.capitalize()})
    for done, written in enumerate(dashboards):
        wanted = json.loads(written)
        noted = f"{message} ({hashlib.sha256(written.encode()).hexdigest()[:12]})"
        try:
            published = _publish(grafana, wanted, folder, noted, dry_run=dry_run)
        except PublishError as error:
            uid, count = wanted["uid"], f"{done} of {len(dashboards)} dashboards"
            raise PublishError(f"{uid}: {error}\n{count} were done before {uid} failed") from error
        yield published


def _publish(
    grafana: GrafanaApi, wanted: dict[str, Any], folder: str, message: str, *, dry_run: bool
) -> Published:
    uid = str(wanted["uid"])
    found = grafana.get(f"/api/dashboards/uid/{uid}")
    change: Change = "new"
    place, difference = folder, ""
    if found is not None:
        meta = grafana.part(found, "meta", dict, {})
        if meta.get("provisioned"):
            raise PublishError(PROVISIONED)
        before = grafana.part(found, "dashboard", dict)
        difference = _difference(uid, _as_far_as_written(before, wanted), wanted)
        if not difference and _last_note(grafana, uid) not in {None, message}:
            # Something was added to it, or is written no more.
            difference = _difference(uid, _without_bookkeeping(before), wanted)
        there = str(meta.get("folderUid") or "")
        place = folder or there
        change = _change(changed=bool(difference), moved=place != there)
    if change != "unchanged" and not dry_run:
        body = {"dashboard": wanted, "folderUid": place, "message": message, "overwrite": True}
        grafana.post("/api/dashboards/db", body)
    return Published(uid, change, difference)


def _change(*, changed: bool, moved: bool) -> Change:
    if changed:
        return "changed and moved" if moved else "changed"
    return "moved" if moved else "unchanged"


def _last_note(grafana: GrafanaApi, uid: str) -> str | None:
    """What was noted when a dashboard was saved last; nothing where Grafana does not tell."""
    history = grafana.get(f"/api/dashboards/uid/{uid}/versions?limit=1", hidden=True)
    match grafana.part(history or {}, "versions", list, []):
        case [{"message": str(note)}, *_]:
            return note
    return None


def _without_bookkeeping(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in {"id", "version"}}


def _as_far_as_written(found: Any, wanted: Any) -> Any:
    """What Grafana holds, without what it adds to what it is given: defaults and counts."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return {
            key: _as_far_as_written(value, wanted[key])
            for key, value in found.items()
            if key in wanted
        }
    if isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        return [_as_far_as_written(*pair) for pair in zip(found, wanted, strict=True)]
    if isinstance(found, int | float) and isinstance(wanted, float) and found == wanted:
        # JSON has one kind of number: a server may give 5.0 back as 5.
        return wanted
    return found


def _difference(uid: str, before: Any, after: Any) -> str:
    names = f"{uid} in Grafana", f"{uid} generated"
    return "\n".join(difflib.unified_diff(_lines(before), _lines(after), *names, lineterm=""))


def _lines(dashboard: Any) -> list[str]:
    return json.dumps(dashboard, sort_keys=True, indent=1).splitlines()
