"""What users change without changing code: names, data sources, selectors, objectives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from tracing.metrics.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from pathlib import Path

_URL: Final = r"https?://[^\s#@{}]*[^\s#@{}/]"
_URL_WORDS: Final = "an http(s) address without user, # and braces, and without / at its end"
# Prometheus knows neither lookarounds nor back references; both begin so in Python.
_PORTABLE: Final = r"(?s:(?!.*\(\?(?!:|i\))).+)"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_LABEL_WORDS: Final = "a name in Kubernetes: up to 63 lower-case letters, digits and dashes"
# The dashboards' own label is how they are found.
_KUBERNETES_LABEL: Final = (
    r"(?!grafana_dashboard$)([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
)
_KUBERNETES_VALUE: Final = r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?"
# Prometheus keeps the first kind to itself, and the others are those of the rules.
_LABEL: Final = r"(?!__|(?:ruleset|alertname|severity)$)[a-zA-Z_][a-zA-Z0-9_]*"
_PLAIN: Final = r'[^"\\\n${}]+'
_PLAIN_WORDS: Final = "something without quotes, backslashes, dollars and braces"


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the field and the mend."""


class DataSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The uids of Grafana's data sources that the dashboards choose at first."""

    prometheus: str = "prometheus"
    tempo: str = "tempo"
    loki: str = "loki"


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pipeline promises.

    Attributes:
        name: What it is called, on graphs and in alerts.
        pipeline: Which one; a regular expression, by default all.
        destination: The topic at which a flow counts as arrived; a regular expression, by default
            any. Name the last hop: where all hops count, the early ones, which are never late,
            hide that the last one is.
        group: The group that reads it there, likewise.
        within_s: Within how many seconds a flow is to arrive; one of the bounds of the buckets of
            `pipeline.end_to_end.duration`.
        ratio: Which share of flows is to, such as 0.99.
        at_least: Arrivals within an alert's long window below which it does not fire: of a few,
            one late one says little. Lower it for a pipeline with little to do.
    """

    name: str = "end-to-end"
    pipeline: str = ".*"
    destination: str = ".*"
    group: str = ".*"
    within_s: float = 5.0
    ratio: float = 0.99
    at_least: int = 20


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Kubernetes' resources get beside their content.

    Attributes:
        namespace: Theirs; empty for that of whoever applies them.
        labels: Such as the `release` by which a Prometheus operator chooses its rules.
    """

    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    def metadata(self, name: str) -> dict[str, Any]:
        """The metadata of a resource."""
        found: dict[str, Any] = {"name": name}
        if self.namespace:
            found["namespace"] = self.namespace
        found["labels"] = {"app.kubernetes.io/name": "pipeline-tracing", **self.labels}
        return found


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What dashboards and rules are made for.

    Attributes:
        prefix: What uids and rule groups begin with.
        title: What titles begin with.
        selector: Labels that every series must have, such as `cluster: eu`.
        pipelines: The names of those to show and to alert on; all, where there are none.
        sagas: Likewise.
        datasources: Where data comes from.
        min_step: How often services export metrics, as in `OTEL_METRIC_EXPORT_INTERVAL`: rates are
            looked at over four times as long. OpenTelemetry's default is a minute.
        objectives: What end-to-end lag is measured against, one for each promise.
        grafana_url: Where Grafana is, for links in alerts.
        runbook_url: Where the runbook is, for links in alerts; empty for the one that comes as a
            dashboard.
        labels: Labels that every alert gets, such as `team: shop`.
        recording_rules: Whether Prometheus has the recording rules loaded. Then lag is asked of
            them, one series by group and topic; without, of all partitions at each look.
        kubernetes: What its resources get.
    """

    prefix: str = "pipeline"
    title: str = "Pipeline"
    selector: dict[str, str] = msgspec.field(default_factory=dict)
    pipelines: tuple[str, ...] = ()
    sagas: tuple[str, ...] = ()
    datasources: DataSources = msgspec.field(default_factory=DataSources)
    objectives: tuple[Objective, ...] = (Objective(),)
    min_step: str = "1m"
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    recording_rules: bool = False
    kubernetes: Kubernetes = msgspec.field(default_factory=Kubernetes)


def load_config(file: Path) -> Config:
    """Read a configuration.

    Args:
        file: YAML with the fields of `Config`.

    Raises:
        ConfigError: It cannot be read, or is no configuration.
    """
    try:
        # A file of comments alone changes nothing.
        found = msgspec.yaml.decode(file.read_bytes(), type=Config | None)
        return checked(found or Config())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, ConfigError) as error:
        raise ConfigError(f"{file}: {error}") from error


def checked(config: Config) -> Config:
    """Check all values, and give the configuration back.

    Raises:
        ConfigError: A value cannot work.
    """
    _check("prefix", config.prefix, r"[a-z][a-z0-9-]{0,19}",
           "1 to 20 lower-case letters, digits and dashes, a letter first")  # fmt: skip
    _check("title", config.title, r"[^/$]*[^/$\s][^/$]*", "some words, without / and $")
    if config.runbook_url:
        _check_url("runbook_url", config.runbook_url)
    _check_url("grafana_url", config.grafana_url)
    _check("min_step", config.min_step, r"[1-9][0-9]*[sm]", "a duration such as 15s or 1m")
    for name, labels in (("selector", config.selector), ("labels", config.labels)):
        for label, value in labels.items():
            _check(name, label, _LABEL, "the name of a label that is free to use")
            _check(f"{name}.{label}", value, _PLAIN, _PLAIN_WORDS)
    for name in ("pipelines", "sagas"):
        for number, value in enumerate(getattr(config, name)):
            _check(f"{name}[{number}]", value, r"[\w. -]+", "letters, digits, blanks, dots, dashes")
    _check_sources(config.datasources)
    _check_kubernetes(config.kubernetes)
    names = [objective.name for objective in config.objectives]
    if not names or len(names) > len(set(names)):
        raise ConfigError("objectives: at least one, each with a name of its own")
    for number, objective in enumerate(config.objectives):
        _check_objective(f"objectives[{number}]", objective)
    return config


def _check_sources(sources: DataSources) -> None:
    for name in ("prometheus", "tempo", "loki"):
        uid = getattr(sources, name)
        _check(f"datasources.{name}", uid, r"[\w.-]+", "the uid of a data source")


def _check_kubernetes(kubernetes: Kubernetes) -> None:
    if kubernetes.namespace:
        _check("kubernetes.namespace", kubernetes.namespace, _DNS_LABEL, _DNS_LABEL_WORDS)
    for label, value in kubernetes.labels.items():
        _check("kubernetes.labels", label, _KUBERNETES_LABEL, "the name of a label in Kubernetes")
        _check(f"kubernetes.labels.{label}", value, _KUBERNETES_VALUE, "the value of a label there")


def _check_objective(where: str, objective: Objective) -> None:
    _check(f"{where}.name", objective.name, _PLAIN, _PLAIN_WORDS)
    if not 0 < objective.ratio < 1:
        raise ConfigError(f"{where}.ratio: {objective.ratio:g} must lie between 0 and 1")
    if objective.at_least < 1:
        raise ConfigError(f"{where}.at_least: {objective.at_least} must be 1 or more")
    if objective.within_s not in END_TO_END_DURATION.buckets:
        bounds = ", ".join(f"{bound:g}" for bound in END_TO_END_DURATION.buckets)
        raise ConfigError(
            f"{where}.within_s: {objective.within_s:g} is no bound of a bucket; use one of {bounds}"
        )
    for name in ("pipeline", "destination", "group"):
        pattern = getattr(objective, name)
        _check(f"{where}.{name}", pattern, r'[^"\\\n]+', "without quotes and backslashes")
        _check(f"{where}.{name}", pattern, _PORTABLE, "without (? but for (?: and (?i)")
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"{where}.{name}: {pattern!r} is no regular expression: {error}"
            ) from error


def _check_url(name: str, value: str) -> None:
    _check(name, value, _URL, _URL_WORDS)
    try:
        possible = urlsplit(value).port != 0
    except ValueError:
        possible = False
    if not possible:
        raise ConfigError(f"{name}: {value!r} must have a port that is a number up to 65535")


def _check(name: str, value: str, pattern: str, words: str) -> None:
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"{name}: {value!r} must be {words}")
