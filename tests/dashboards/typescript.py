"""Dashboards as TypeScript, checked by its compiler against Grafana's own types."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.npm_packages import installed_packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES: Final = Path(__file__).parent / "types"
# The types of a panel's options and of its fields' options; traces has none.
_PANELS: Final = {
    "bargauge": "BarGauge", "heatmap": "Heatmap", "logs": "Logs", "nodeGraph": "NodeGraph",
    "stat": "Stat", "state-timeline": "StateTimeline", "table": "Table", "text": "Text",
    "timeseries": "TimeSeries",
}  # fmt: skip
_WITH_FIELDS: Final = frozenset({"bargauge", "heatmap", "state-timeline", "table", "timeseries"})
_COMPILER: Final = {
    "strict": True, "noEmit": True, "skipLibCheck": True, "target": "ES2022", "module": "ESNext",
    "moduleResolution": "bundler", "types": [],
}  # fmt: skip


# What Grafana reads, but its types leave out; the Foundation SDK writes all of it: the defaults of
# other kinds of variables, what only Prometheus' annotations have, and, before 12.2, the footer.
_NOT_IN_TYPES: Final = {
    "variable": ("auto", "auto_count", "auto_min"),
    "annotation": ("expr", "step", "textFormat", "titleFormat"),
    "table": ("footer",),
}


def type_errors(dashboards: Mapping[tuple[str, int], dict[str, Any]], folder: Path) -> list[str]:
    """Return what the compiler finds, one line each, which begins with `NAME-VERSION.ts`.

    Args:
        dashboards: The JSON of dashboards, by name and by the version of Grafana to check against.
            One run for all takes little longer than one for each.
        folder: An empty folder.

    Raises:
        FileNotFoundError: npm is not installed.
    """
    installed = installed_packages(_TYPES / "package.json")
    (folder / "node_modules").symlink_to(installed)
    shutil.copy(_TYPES / "json.ts", folder)
    for (name, version), document in dashboards.items():
        source = "\n".join(_lines(_reduced(document), f"schema-{version}")) + "\n"
        (folder / f"{name}-{version}.ts").write_text(source)
    config = {"compilerOptions": _COMPILER, "include": ["*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [installed / ".bin" / "tsc", "--pretty", "false"],
        check=False, capture_output=True, text=True, cwd=folder,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).splitlines()
    if bool(lines) != bool(done.returncode):
        raise RuntimeError(f"the compiler ended with status {done.returncode}: {lines}")
    return [line for line in lines if not line.startswith(" ")]


def _reduced(document: dict[str, Any]) -> dict[str, Any]:
    reduced = copy.deepcopy(document)
    tables = [panel["options"] for panel in reduced["panels"] if panel["type"] == "table"]
    for nodes, what in (
        (reduced["templating"].get("list", []), "variable"),
        (reduced["annotations"].get("list", []), "annotation"),
        (tables, "table"),
    ):
        for node in nodes:
            for name in _NOT_IN_TYPES[what]:
                node.pop(name, None)
    return reduced


def _lines(document: dict[str, Any], package: str) -> Iterator[str]:
    yield "import type { Json } from './json';"
    yield f"import type {{ Dashboard }} from '{package}';"
    kinds = sorted({panel["type"] for panel in document["panels"]} & _PANELS.keys())
    for kind in kinds:
        name = _PANELS[kind]
        path = f"dist/esm/raw/composable/{name.lower()}/panelcfg/x/{name}PanelCfg_types.gen"
        yield f"import type * as {name} from '{package}/{path}';"
    yield f"export const dashboard: Json<Dashboard> = {json.dumps(document, indent=1)};"
    for panel in document["panels"]:
        kind, number = panel["type"], panel["id"]
        if kind not in kinds:
            continue
        options = json.dumps(panel.get("options", {}))
        yield f"export const options{number}: Json<Partial<{_PANELS[kind]}.Options>> = {options};"
        fields = panel.get("fieldConfig", {}).get("defaults", {}).get("custom")
        if fields and kind in _WITH_FIELDS:
            type_ = f"Json<Partial<{_PANELS[kind]}.FieldConfig>>"
            yield f"export const fields{number}: {type_} = {json.dumps(fields)};"
