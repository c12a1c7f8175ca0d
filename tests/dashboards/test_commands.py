"""The command line: generate, check, list, and errors."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from dashboards.__main__ import main
from dashboards.cli.main import cli
from dashboards.config import Config, ConfigError, load_config
from tests.dashboards.board_documents import BOARDS
from tests.dashboards.guide import guide_block


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_committed_files_are_up_to_date() -> None:
    done = _run("generate", "--check")
    assert (0, "all 15 files are up to date\n") == (done.exit_code, done.output)


def test_check_names_stale_files_and_the_fix_and_writes_nothing(tmp_path: Path) -> None:
    assert 0 == _run("generate", "--out", tmp_path).exit_code
    (tmp_path / "overview.json").write_text("{}")
    (tmp_path / "lag.json").unlink()

    done = _run("generate", "--out", tmp_path, "--check")

    assert 1 == done.exit_code
    assert "2 of 15 files" in done.output
    command = (
        f"overview.json, lag.json; to fix it, run: python -m dashboards generate --out {tmp_path}\n"
    )
    assert command in done.output
    assert "{}" == (tmp_path / "overview.json").read_text()


def test_the_fix_that_check_names_has_the_same_options(tmp_path: Path) -> None:
    config = tmp_path / "my shop.yaml"
    config.write_text("prefix: shop")
    out = tmp_path / "out"
    done = _run(
        "generate", "--config", config, "--out", out, "--format", "configmap", "--check"
    )  # fmt: skip
    wanted = f"generate --config '{config}' --out {out} --format configmap\n"
    assert wanted in done.output


def test_a_left_over_file_is_reported_and_fails_a_check(tmp_path: Path) -> None:
    assert 0 == _run("generate", "--out", tmp_path).exit_code
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("mine")

    assert "old.json was not generated; remove it" in _run("generate", "--out", tmp_path).output
    done = _run("generate", "--out", tmp_path, "--check")
    assert 1 == done.exit_code
    assert f"not generated, and to be removed from {tmp_path}: old.json\n" in done.output

    (tmp_path / "lag.json").unlink()
    both = _run("generate", "--out", tmp_path, "--check")
    assert f"not generated, and to be removed from {tmp_path}: old.json\n" in both.output
    assert f"out of date in {tmp_path}, 1 of 15 files: lag.json; to fix it" in both.output


def test_other_files_in_grafanas_folder_are_not_reported(tmp_path: Path) -> None:
    called = ("generate", "--out", tmp_path, "--format", "provisioning")
    assert 0 == _run(*called).exit_code
    (tmp_path / "dashboards" / "others.yaml").write_text("apiVersion: 1")
    (tmp_path / "dashboards" / "pipeline" / "old.json").write_text("{}")

    done = _run(*called)

    assert "others.yaml" not in done.output
    assert "old.json was not generated" in done.output


def test_a_file_that_is_not_text_is_stale(tmp_path: Path) -> None:
    assert 0 == _run("generate", "--out", tmp_path).exit_code
    (tmp_path / "lag.json").write_bytes(b"\xff")
    assert "lag.json; to fix it" in _run("generate", "--out", tmp_path, "--check").output


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_an_output_folder_below_a_file_is_an_error(check: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = _run("generate", "--out", tmp_path / "file" / "x", *check)
    assert 1 == done.exit_code
    assert f"Error: {tmp_path}/file/x" in done.output
    assert "cannot be read or written: Not a directory" in done.output


@pytest.mark.parametrize("check", [(), ("--check",)])
def test_a_folder_in_place_of_a_file_is_an_error(check: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "lag.json").mkdir()
    done = _run("generate", "--out", tmp_path, *check)
    assert 1 == done.exit_code
    assert f"Error: {tmp_path}/lag.json cannot be read or written: Is a dir" in done.output


def test_the_default_folder_accepts_only_the_default_configuration(tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text("prefix: shop")
    for options in (("--config", config), ("--format", "provisioning")):
        done = _run("generate", *options)
        assert 2 == done.exit_code
        assert "use --out to choose a folder" in done.output


def test_config_maps_contain_the_dashboards_for_the_sidecar(tmp_path: Path) -> None:
    assert 0 == _run("generate", "--out", tmp_path, "--format", "configmap").exit_code

    config_map = yaml.safe_load((tmp_path / "overview.configmap.yaml").read_text())
    assert "1" == config_map["metadata"]["labels"]["grafana_dashboard"]
    (document,) = config_map["data"].values()
    assert "pipeline-overview" == json.loads(document)["uid"]
    assert "PrometheusRule" == yaml.safe_load((tmp_path / "rules.yaml").read_text())["kind"]


def test_provisioning_makes_the_folders_that_grafana_reads(tmp_path: Path) -> None:
    assert 0 == _run("generate", "--out", tmp_path, "--format", "provisioning").exit_code

    provider = yaml.safe_load((tmp_path / "dashboards/pipeline.yaml").read_text())["providers"][0]
    assert provider["options"]["path"].endswith("/dashboards/pipeline")
    assert len(BOARDS) == len(list((tmp_path / "dashboards/pipeline").glob("*.json")))
    assert (tmp_path / "alerting/pipeline.yaml").is_file()


def test_a_configuration_changes_names_data_sources_and_objectives(tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text(
        "prefix: shop\ntitle: Shop\nselector: {cluster: eu}\n"
        "datasources: {prometheus: mimir}\n"
        "objectives:\n- {name: fast, group: last, within_s: 2.5, ratio: 0.999}\n- {ratio: 0.9}\n"
    )
    out = tmp_path / "out"
    assert 0 == _run("generate", "--config", config, "--out", out).exit_code

    overview = (out / "overview.json").read_text()
    rules = " ".join((out / "rules/recordings.yaml").read_text().split())
    alerts = " ".join((out / "rules/alerts.yaml").read_text().split())
    assert "shop-overview" == json.loads(overview)["uid"]
    assert '"value": "mimir"' in overview
    assert 'cluster=\\"eu\\"' in overview
    assert 'le=~"2\\\\.5"' in rules
    assert 'messaging_consumer_group_name=~"last"' in rules
    assert 'objective="fast"} > 0.0144' in alerts
    assert 'objective="end-to-end"} > 0.6' in alerts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prefix: My Shop", "prefix: 'My Shop' must be 1 to 20 lower-case letters"),
        (
            "objectives: [{within_s: 4}]",
            "objectives[0].within_s: 4 is not a bucket bound; use 3.79 or 4.35",
        ),
        (
            "objectives: [{within_s: 1000000000}]",
            "objectives[0].within_s: 1e+09 is not a bucket bound; use 14400",
        ),
        (
            "objectives: [{within_s: 0}]",
            "objectives[0].within_s: 0 is not a bucket bound; use 0.005",
        ),
        ("objectives: [{ratio: 99}]", "objectives[0].ratio: 99 must be between 0 and 1"),
        ("objectives: [{ratio: a}]", "objectives[0].ratio: Expected `float`, got `str`"),
        ("objectives: []", "objectives: there must be at least one, each with a different name"),
        (
            "objectives: [{}, {}]",
            "objectives: there must be at least one, each with a different name",
        ),
        (
            "objectives: [{group: '\"'}]",
            "objectives[0].group: '\"' must be a text without quotes and",
        ),
        ("objectives: [{group: a(}]", "objectives[0].group: 'a(' is not a regular expression"),
        (
            "objectives: [{group: a(?=b)}]",
            "objectives[0].group: 'a(?=b)' is not a regular expression that Prometheus knows",
        ),
        (
            "objectives: [{group: '(?P<x>a)(?P=x)'}]",
            "objectives[0].group: '(?P<x>a)(?P=x)' is not a regular expression that Prometheus",
        ),
        ("objectives: [{group: a++}]", "objectives[0].group: 'a++' is not a regular expression"),
        ("objectives: [{pipeline: 'a{1001}'}]", "objectives[0].pipeline: 'a{1001}' is not a reg"),
        ("objectives: [{name: 'a\"b'}]", "objectives[0].name: 'a\"b' must be a text without"),
        ("objectives: [{name: $1}]", "objectives[0].name: '$1' must be a text without"),
        ("selector: cluster=eu", "selector: Expected `object`, got `str`"),
        ("selector: {a-b: c}", "selector: 'a-b' must have letters, digits and underscores only"),
        ("selector: {k8s.cluster.name: eu}", "Prometheus names the label k8s_cluster_name"),
        ("selector: {1a: c}", "selector: '1a' must be a label name"),
        ("selector: {cluster: 1}", "selector: Expected `str`, got `int`"),
        ("labels: {team: [a]}", "labels: Expected `str`, got `array`"),
        ("labels: {1: a}", "key in labels: Expected `str`, got `int`"),
        ("objectives: [1]", "objectives[0]: Expected `object`, got `int`"),
        ("own: {signal: []}", "own: Object contains unknown field `signal`"),
        ("title: ' - at `$.a/`'", "title: ' - at `$.a/`' must be one or more words"),
        ("selector: {__name__: c}", "selector: '__name__' must be a label name"),
        ("selector: {ruleset: c}", "selector: 'ruleset' must be a label name"),
        ("objectives: [{at_least: 0}]", "objectives[0].at_least: 0 must be 1 or more"),
        ("selector: {a: 'b\"'}", "selector.a: 'b\"' must be a text without quotes"),
        ("labels: {team: '{{ .x'}", "labels.team: '{{ .x' must be a text without quotes"),
        (
            "labels: {severity: page}",
            "labels: 'severity' must be a label name that is not reserved",
        ),
        ("pipelines: ['a|b']", "pipelines[0]: 'a|b' must be letters, digits"),
        ("min_step: 15", "min_step: Expected `str`, got `int`"),
        (
            "min_step: 3m",
            "min_step: '3m' must be 2m or less: Prometheus forgets a value after five",
        ),
        (
            "min_step: 121s",
            "let the services export more often (OTEL_METRIC_EXPORT_INTERVAL=60000)",
        ),
        (
            "min_step: 1h",
            "min_step: '1h' must be 2m or less: Prometheus forgets a value after five",
        ),
        ("min_step: 1m30s", "'1m30s' must be one number and its unit, s or m, such as 15s or 1m"),
        ("min_step: soon", "min_step: 'soon' must be one number and its unit"),
        ("title: ''", "title: '' must be one or more words"),
        ("grafana_url: https://g/", "grafana_url: 'https://g/' must be an http(s) address"),
        ("grafana_url: 'https://g/{{x}}'", "grafana_url: 'https://g/{{x}}' must be an http(s)"),
        ("grafana_url: https://g:abc", "grafana_url: 'https://g:abc' must have a port"),
        ("grafana_url: https://g:99999", "must have a port from 1 to 65535"),
        ("runbook_url: https://g:abc/x", "runbook_url: 'https://g:abc/x' must have a port"),
        ("grafana_url: https://me:secret@g", "must be an http(s) address without user"),
        ("datasources: {tempo: ''}", "datasources.tempo: '' must be the uid of a data source"),
        (
            "kubernetes: {namespace: My Shop}",
            "kubernetes.namespace: 'My Shop' must be a Kubernetes",
        ),
        ("kubernetes: {labels: {grafana_dashboard: '0'}}", "kubernetes.labels: 'grafana_dashb"),
        ("kubernetes: {labels: {a: b c}}", "kubernetes.labels.a: 'b c' must be a Kubernetes"),
        ("prefix: 1x", "prefix: '1x' must be 1 to 20 lower-case letters, digits and dashes, a"),
        ("prefxi: shop", "contains unknown field `prefxi`"),
        ("a: [", "while parsing"),
    ],
)
def test_an_invalid_configuration_is_an_error_that_names_the_reason(
    text: str, expected: str, tmp_path: Path
) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text(text)

    done = _run("generate", "--config", config, "--out", tmp_path / "out")

    assert 2 == done.exit_code
    assert expected in " ".join(done.output.split())
    assert str(config) in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "text",
    [
        "objectives: [{group: '(?:a|b)-.*'}]",
        "objectives: [{group: '(?i)shop'}]",
        "min_step: 120s",
        "grafana_url: https://example.com/grafana",
        "kubernetes: {namespace: shop-1, labels: {example.com/release: kube-prometheus, a: ''}}",
        "datasources: {tempo: tempo_eu-1}",
    ],
)
def test_a_valid_configuration_is_accepted(text: str, tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text(text)
    assert Config() != load_config(config)


def test_a_missing_configuration_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read"):
        load_config(tmp_path / "nowhere.yaml")


def test_an_empty_configuration_is_the_default(tmp_path: Path) -> None:
    config = tmp_path / "empty.yaml"
    for text in ("{}", "# nothing yet\n", ""):
        config.write_text(text)
        assert Config() == load_config(config)


def test_the_configuration_of_the_guide_works(tmp_path: Path) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text(guide_block("# shop[.]yaml"))
    assert "shop" == load_config(config).prefix
    for form in ("grafana", "provisioning", "configmap"):
        out = tmp_path / form
        done = _run("generate", "--config", config, "--out", out, "--format", form)
        assert 0 == done.exit_code
    assert "monitoring" in (tmp_path / "configmap" / "rules.yaml").read_text()
    assert (tmp_path / "provisioning" / "alerting" / "shop.yaml").is_file()


def test_dashboards_and_alerts_are_listed_as_text_and_as_json() -> None:
    assert "pipeline-overview" in _run("list").output
    document = json.loads(_run("list", "--json").output)
    assert (len(BOARDS), 26) == (len(document["dashboards"]), len(document["alerts"]))


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["publish", "--url", "http://127.0.0.1:abc"], 2, "'abc'"),
        (["publish", "--url", "http://127.0.0.1:99999"], 2, "99999"),
        (["publish", "--url", "http://127.0.0.1:1"], 1, "Grafana does not answer"),
        (["publish"], 2, "--url"),
        (["dance"], 2, "dance"),
    ],
)
def test_an_error_is_one_line(
    arguments: list[str],
    code: int,
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "token")
    monkeypatch.setattr(sys, "argv", ["dashboards", *arguments])
    assert code == main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dashboards: ")
    assert named in line
