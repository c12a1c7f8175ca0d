"""`compose.yaml`: no container runs here, so each mounted file is checked on its own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import demo_pipeline.__main__
from dashboards.boards.all_boards import make_boards
from dashboards.config import Config, DataSources
from demo_pipeline.broker.apicurio import APICURIO, ApicurioRegistry
from demo_pipeline.broker.kafka_jars import KAFKA
from demo_pipeline.runtime.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "dashboards" / "provisioning"


@pytest.fixture
def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def _mounts(compose: dict[str, Any]) -> dict[str, Path]:
    """Return the mounted files and folders by their path in the container."""
    mounts = {}
    for volume in compose["services"]["lgtm"]["volumes"]:
        source, target, mode = volume.split(":")
        assert "ro" == mode
        mounts[target] = ROOT / source
    return mounts


def test_images_are_pinned_and_ports_are_on_loopback(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert re.search(r":\d+\.\d+\.\d+(\.Final)?$", service["image"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_the_ports_in_the_guide_are_not_those_of_the_containers(
    compose: dict[str, Any],
) -> None:
    page = (ROOT / "docs" / "demo.md").read_text()
    ports = set(re.findall(r"--(?:views|http)-port (\d+)", page))

    assert ports
    assert not ports & {
        port.split(":")[1]
        for service in compose["services"].values()
        for port in service.get("ports", ())
    }


def test_images_have_the_versions_that_the_tests_run_with(compose: dict[str, Any]) -> None:
    images = {name: service["image"] for name, service in compose["services"].items()}

    assert f"apache/kafka:{KAFKA.version}" == images["kafka"]
    assert f"apicurio/apicurio-registry-mem:{APICURIO.version}" == images["registry"]


def test_the_demo_uses_the_registry_once_it_is_ready(compose: dict[str, Any]) -> None:
    demo, registry = compose["services"]["demo"], compose["services"]["registry"]
    url = urlsplit(demo["environment"]["SCHEMA_REGISTRY_URL"])

    (port,) = registry["ports"]
    assert ("registry", int(port.rpartition(":")[2])) == (url.hostname, url.port)
    # The path is the one that the tests' own registry has.
    assert urlsplit(ApicurioRegistry().url).path == url.path
    assert {"condition": "service_healthy"} == demo["depends_on"]["registry"]
    assert f"/{url.port}" in registry["healthcheck"]["test"][-1]


def test_every_mounted_file_exists(compose: dict[str, Any]) -> None:
    for target, source in _mounts(compose).items():
        assert source.exists(), source
        assert source.is_dir() or Path(target).suffix == source.suffix


def test_dashboards_are_provisioned_from_the_mounted_folder(compose: dict[str, Any]) -> None:
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards.yaml").read_text())["providers"]
    folder = _mounts(compose)[provider["options"]["path"]]
    assert {f"{board.name}.json" for board in make_boards(Config())} == {
        file.name for file in folder.glob("*.json")
    }


def test_data_sources_have_the_uids_of_the_dashboards_and_exemplars_link_to_traces() -> None:
    sources = yaml.safe_load((PROVISIONING / "datasources.yaml").read_text())["datasources"]
    expected = DataSources()
    assert {expected.prometheus, expected.tempo, expected.loki} == {s["uid"] for s in sources}
    (link,) = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert ("trace_id", expected.tempo) == (link["name"], link["datasourceUid"])


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_promtool_accepts_the_configuration_and_the_rules(
    compose: dict[str, Any], binaries: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((PROVISIONING / "prometheus.yaml").read_text())
    config["rule_files"] = [str(_mounts(compose)[target]) for target in config["rule_files"]]
    file = tmp_path / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [binaries / "promtool", "check", "config", file],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "pipeline" in done.stdout or "SUCCESS" in done.stdout


def test_the_demo_command_and_its_scenario_exist(
    compose: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    demo = re.sub(r"\$\{[A-Z]+:-([a-z0-9-]+)\}", r"\1", compose["services"]["demo"]["command"])
    _, _, _, *arguments = shlex.split(demo)
    assert arguments[arguments.index("--scenario") + 1] in SCENARIOS
    assert 0 == demo_pipeline.__main__.main([*arguments, "--help"])
    assert "Usage" in capsys.readouterr().out


def test_the_lag_monitor_runs_beside_the_demo(compose: dict[str, Any]) -> None:
    lag = compose["services"]["lag"]
    words = shlex.split(lag["command"])
    assert ["python", "-m", "tracing"] == words[:3]
    done = subprocess.run(
        [sys.executable, *words[1:], "--help"], check=True, capture_output=True, text=True
    )
    assert "--daemon" in done.stdout
    assert (
        compose["services"]["demo"]["environment"]["KAFKA_BOOTSTRAP_SERVERS"]
        == (lag["environment"]["KAFKA_BOOTSTRAP_SERVERS"])
    )


def test_alerts_are_evaluated_in_only_one_place(compose: dict[str, Any]) -> None:
    mounted = [source.name for source in _mounts(compose).values()]
    assert "grafana-alerting.yaml" in mounted
    assert "alerts.yaml" not in mounted


def test_the_image_contains_every_package() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = {
        source for line in re.findall(r"^COPY (.*)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    }  # fmt: skip
    assert {"tracing", "dashboards", "demo_pipeline", "pyproject.toml", "README.md"} <= copied
    assert all((ROOT / source).exists() for source in copied)
    ignored = (ROOT / ".dockerignore").read_text()
    assert all(f"!{source}\n" in ignored for source in copied)
