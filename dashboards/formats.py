"""The formats of generated files."""

from __future__ import annotations

from typing import Final, Literal

Format = Literal["grafana", "configmap", "provisioning"]
FORMATS: Final[tuple[Format, ...]] = ("grafana", "configmap", "provisioning")
