"""How long the pipelines of a hop are remembered, and with which part of what waits there."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
import yaml

from dashboards.config import Config
from dashboards.model.labels import RECORDED_ARRIVED, recorded_arrivals
from dashboards.rules.files import recordings_file
from tests.dashboards.alert_series import HOP, LATE

if TYPE_CHECKING:
    from pathlib import Path

_NEEDED: Final = (RECORDED_ARRIVED, *map(recorded_arrivals, ("5m", "30m", "3d")))
_LAG: Final = f"pipeline_consumer_lag{{{HOP}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """Flows that have arrived at a hop, a value a minute, and the numbers that are remembered.

    The numbers are those of pipelines at some times. The lag monitor always reports the group.
    """

    about: str
    arrived: dict[str, str]
    remembered: dict[str, dict[str, int]]


_HOPS: Final = (
    Hop(about="two pipelines of a consumer that died, one of them a minute earlier",
        arrived={"orders": "0+600x61 _x2000", "returns": "0+60x60 _x2000"},
        remembered={at: {"orders": 15600, "returns": 1560} for at in ("70m", "80m", "30h")}),
    Hop(about="a pipeline with a flow every twenty minutes, on a hop that died",
        arrived={"orders": "0+600x60 _x200", "returns": "_x4 1x19 2x19 3x16 _x200"},
        remembered={"58m": {"orders": 18000, "returns": 2}, "3h": {"orders": 15600, "returns": 2}}),
    Hop(about="a pipeline that is idle for two days, and a check that is not",
        arrived={"orders": "0+600x60 36000x2900", "probe": "0+1x2960"},
        remembered={"2h": {"orders": 15600, "probe": 30}, "48h": {"orders": 15600, "probe": 30}}),
    Hop(about="a renamed pipeline has no part soon, and is forgotten after a day",
        arrived={"orders": "0+600x60 _x2000", "shop": "_x61 0+600x2000"},
        remembered={"85m": {"orders": 15600, "shop": 14400}, "96m": {"orders": 0, "shop": 18000},
                    "24h": {"orders": 0, "shop": 18000}, "26h": {"shop": 18000}}),
    Hop(about="its consumer dies an hour after a pipeline was renamed",
        arrived={"orders": "0+600x60 _x2000", "shop": "_x61 0+600x60 _x2000"},
        remembered={"30h": {"orders": 0, "shop": 15600}}),
    Hop(about="a hop that was dead for two days, and works off one of its pipelines first",
        arrived={"orders": "0+600x60 _x4000", "returns": "0+60x60 _x2880 0+60x100"},
        remembered={"48h": {"orders": 15600, "returns": 1560},
                    "2958m": {"orders": 15600, "returns": 1020},
                    "50h": {"orders": 0, "returns": 1800}}),
)  # fmt: skip


@pytest.mark.integration
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hop", _HOPS, ids=lambda hop: hop.about)
def test_a_pipeline_is_remembered_until_another_one_has_replaced_it(
    hop: Hop, binaries: Path, tmp_path: Path
) -> None:
    _check(hop, binaries, tmp_path)


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_recording_rules_that_are_new_know_what_died_before_them(
    binaries: Path, tmp_path: Path
) -> None:
    hop = Hop(about="a hop that died nine hours before",
              arrived={"orders": "0+600x60 _x2000", "returns": "0+60x60 _x2000"},
              remembered={"11h": {"orders": 36000, "returns": 3600}})  # fmt: skip
    _check(hop, binaries, tmp_path, since_s=10 * 3600)


def _check(hop: Hop, binaries: Path, tmp_path: Path, *, since_s: int = 0) -> None:
    """Check what rules record that have been there since some time."""
    groups = [
        {
            **group,
            "rules": [
                {**rule, "expr": f"({rule['expr']}) and on () (vector(time()) >= {since_s})"}
                for rule in group["rules"]
                if rule["record"] in _NEEDED
            ],
        }
        for group in yaml.safe_load(recordings_file(Config()))["groups"]
    ]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": groups}))
    series = {
        f'{LATE}_count{{pipeline="{pipeline}", {HOP}, instance="a"}}': values
        for pipeline, values in hop.arrived.items()
    }
    document = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values}
                    for name, values in {**series, _LAG: "0x5000"}.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f"sum by (pipeline) ({RECORDED_ARRIVED})",
                        "eval_time": at,
                        "exp_samples": [
                            {"labels": f'{{pipeline="{pipeline}"}}', "value": number}
                            for pipeline, number in numbers.items()
                        ],
                    }
                    for at, numbers in hop.remembered.items()
                ],
            }
        ],
    }
    test = tmp_path / "test.yaml"
    test.write_text(json.dumps(document))
    done = subprocess.run(
        [binaries / "promtool", "test", "rules", test], check=False, capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr
