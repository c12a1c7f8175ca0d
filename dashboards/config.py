"""The configuration: names, data sources, selectors and objectives."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from dashboards.durations import LONGEST_STEP_S, seconds_of
from dashboards.own import Own
from dashboards.patterns import PatternError, check_pattern
from tracing.metrics.catalog import END_TO_END_DURATION, METRICS

if TYPE_CHECKING:
    from pathlib import Path

_URL: Final = r"https?://[^\s#@{}]*[^\s#@{}/]"
_URL_WORDS: Final = "an http(s) address without user, # and braces, and without a final /"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_LABEL_WORDS: Final = "a Kubernetes name: up to 63 lower-case letters, digits and dashes"
# Grafana's sidecar finds the dashboards by the label `grafana_dashboard`.
_KUBERNETES_LABEL: Final = (
    r"(?!grafana_dashboard$)([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
)
_KUBERNETES_VALUE: Final = r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?"
# Prometheus reserves labels that begin with `__`.
_LABEL: Final = r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*"
# The rules, their queries, Prometheus, Alertmanager and Grafana set these.
_ADDED: Final = (
    "alertname alertstate command counted elsewhere grafana_folder instance job le note objective "
    "quantile ruleset service_version severity stop"
)
_RESERVED: Final = frozenset(_ADDED.split()).union(
    *(metric.prometheus_labels for metric in METRICS)
)
"""Labels by which alerts or series differ: one value for all would make them the same."""
_PLAIN: Final = r'[^"\\\n${}]+'
_PLAIN_WORDS: Final = "a text without quotes, backslashes, dollars and braces"


class ConfigError(ValueError):
    """An invalid configuration; the message names the field and what it must be."""


class DataSources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The uids of the Grafana data sources that the dashboards preselect."""

    prometheus: str = "prometheus"
    tempo: str = "tempo"
    loki: str = "loki"


class Objective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service-level objective for the end-to-end lag of pipelines.

    Each type of message at each hop is judged by itself, and the worst one counts: lag adds up
    along a flow, so that is one at a last hop. Without names, an objective is thus about the last
    hops of every pipeline.

    Attributes:
        name: The name on graphs and in alerts.
        pipeline: A regular expression for the pipelines; by default all.
        destination: A regular expression for the topic of the hop at which a flow counts as
            arrived; by default any. Name the hop that matters, if it is not the last one.
        group: A regular expression for the group of that hop; by default any.
        within_s: The seconds within which a flow must arrive; must be a bucket bound of
            `pipeline.end_to_end.duration`.
        ratio: The share of flows that must arrive in time, such as 0.99.
        at_least: The flows that an alert's long window must have before it fires, because one
            late flow among a few says little. Lower it for a pipeline with few flows.
    """

    name: str = "end-to-end"
    pipeline: str = ".*"
    destination: str = ".*"
    group: str = ".*"
    within_s: float = 5.0
    ratio: float = 0.99
    at_least: int = 20


class Kubernetes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of generated Kubernetes resources.

    Attributes:
        namespace: The namespace; empty for the one that `kubectl apply` uses.
        labels: More labels, such as the `release` by which a Prometheus operator selects rules.
    """

    namespace: str = ""
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    def metadata(self, name: str) -> dict[str, Any]:
        """Return the metadata of a resource."""
        metadata: dict[str, Any] = {"name": name}
        if self.namespace:
            metadata["namespace"] = self.namespace
        metadata["labels"] = {"app.kubernetes.io/name": "pipeline-tracing", **self.labels}
        return metadata


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration of dashboards and rules.

    Attributes:
        prefix: The start of uids and of rule group names.
        title: The start of titles.
        selector: Labels that every series must have, such as `cluster: eu`. Alerts get them, too,
            so that those of two configurations are not taken for the same.
        pipelines: The pipelines to show and to alert on; empty for all.
        sagas: The sagas to show and to alert on; empty for all.
        datasources: The data sources.
        min_step: The interval at which services export metrics, as in
            `OTEL_METRIC_EXPORT_INTERVAL`. It is the *Min step* of every query, rounded up to what
            Grafana uses itself, such as 90 s to two minutes, and at most two minutes: alerts do not
            see what is exported more seldom. The scrape interval of the data source does not
            matter. Rates use a window four times as long. OpenTelemetry's default is a minute.
        objectives: The objectives for end-to-end lag.
        grafana_url: Grafana's address, for links in alerts.
        runbook_url: The runbook's address, for links in alerts; empty for the runbook dashboard.
        labels: Labels that every alert gets, such as `team: shop`.
        recording_rules: Whether Prometheus has loaded the recording rules. If so, dashboards query
            the recorded lag by group and topic instead of the lag of all partitions.
        native_histograms: Whether Prometheus stores histograms as native ones, by
            `convert_histograms_to_nhcb` or because services send exponential ones.
        broker_tag: The tag of dashboards about the brokers themselves, such as those of
            kafka-exporter or a JMX exporter; *Consumer lag* and *Overview* link to all that have
            it. Empty for no link.
        kubernetes: The metadata of Kubernetes resources.
        own: Signals, panels, alerts and dashboards that are added.

    Raises:
        ConfigError: A value does not work in queries, YAML or links.
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
    native_histograms: bool = False
    broker_tag: str = ""
    kubernetes: Kubernetes = msgspec.field(default_factory=Kubernetes)
    own: Own = msgspec.field(default_factory=Own)

    def __post_init__(self) -> None:
        """Check all values but `own`, which is checked with the dashboards that it is added to."""
        _check_config(self)


def load_config(file: Path) -> Config:
    """Read a configuration.

    Args:
        file: YAML with the fields of `Config`.

    Raises:
        ConfigError: The file cannot be read, or it is not a valid configuration.
    """
    from dashboards.yaml_keys import RepeatedKeyError, check_keys  # noqa: PLC0415 - help needs no YAML

    try:
        text = file.read_bytes().decode()
        check_keys(text)
        # A file with nothing but comments is the default configuration.
        return msgspec.yaml.decode(text, type=Config | None) or Config()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not a text in UTF-8") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {_place_first(str(error))}") from error
    except RepeatedKeyError as error:
        raise ConfigError(f"{file}: {error}") from error


def _place_first(message: str) -> str:
    """Return a message of msgspec with the place at the start, as in other messages."""
    placed = re.fullmatch(r"(?s)(.*) - at (`(?:key` in `)?[$].*`)", message)
    if placed is None:
        return message
    place = re.sub(r"`|[$][.]?|\[\.\.\.\]", "", placed[2])
    return f"{place}: {placed[1]}" if place else placed[1]


def _check_config(config: Config) -> None:
    _check("prefix", config.prefix, r"[a-z][a-z0-9-]{0,19}",
           "1 to 20 lower-case letters, digits and dashes, a letter first")  # fmt: skip
    _check("title", config.title, r"[^/$]*[^/$\s][^/$]*", "one or more words without / and $")
    if config.runbook_url:
        _check_url("runbook_url", config.runbook_url)
    _check_url("grafana_url", config.grafana_url)
    _check("broker_tag", config.broker_tag, r"[^\"\\\n]*", "a tag without quotes and backslashes")
    _check("min_step", config.min_step, r"[1-9][0-9]*[smhd]",
           "one number and its unit, s or m, such as 15s or 1m")  # fmt: skip
    if seconds_of(config.min_step) > LONGEST_STEP_S:
        raise ConfigError(
            f"min_step: {config.min_step!r} must be 2m or less: Prometheus forgets a value after "
            "five minutes, so alerts would not see what is exported more seldom, and would not "
            "fire; let the services export more often (OTEL_METRIC_EXPORT_INTERVAL=60000)"
        )
    for name, labels in (("selector", config.selector), ("labels", config.labels)):
        for label, value in labels.items():
            _check_label(name, label)
            if label in _RESERVED:
                raise ConfigError(
                    f"{name}: {label!r} must be a label name that is not reserved: metrics or "
                    "alerts have it, with values of their own"
                )
            _check(f"{name}.{label}", value, _PLAIN, _PLAIN_WORDS)
    for name in ("pipelines", "sagas"):
        for number, value in enumerate(getattr(config, name)):
            _check(
                f"{name}[{number}]", value, r"[\w. -]+", "letters, digits, spaces, dots and dashes"
            )
    _check_sources(config.datasources)
    _check_kubernetes(config.kubernetes)
    names = [objective.name for objective in config.objectives]
    if not names or len(names) > len(set(names)):
        raise ConfigError("objectives: there must be at least one, each with a different name")
    for number, objective in enumerate(config.objectives):
        _check_objective(f"objectives[{number}]", objective)


def _check_label(where: str, label: str) -> None:
    underscored = re.sub(r"[^a-zA-Z0-9_]", "_", label)
    if underscored != label and re.fullmatch(_LABEL, underscored):
        raise ConfigError(
            f"{where}: {label!r} must have letters, digits and underscores only: Prometheus names "
            f"the label {underscored}"
        )
    _check(where, label, _LABEL, "a label name that is not reserved")


def _check_sources(sources: DataSources) -> None:
    for name in ("prometheus", "tempo", "loki"):
        uid = getattr(sources, name)
        _check(f"datasources.{name}", uid, r"[\w.-]+", "the uid of a data source")


def _check_kubernetes(kubernetes: Kubernetes) -> None:
    if kubernetes.namespace:
        _check("kubernetes.namespace", kubernetes.namespace, _DNS_LABEL, _DNS_LABEL_WORDS)
    for label, value in kubernetes.labels.items():
        _check("kubernetes.labels", label, _KUBERNETES_LABEL, "a Kubernetes label name")
        _check(f"kubernetes.labels.{label}", value, _KUBERNETES_VALUE, "a Kubernetes label value")


def _check_objective(where: str, objective: Objective) -> None:
    _check(f"{where}.name", objective.name, _PLAIN, _PLAIN_WORDS)
    if not 0 < objective.ratio < 1:
        raise ConfigError(f"{where}.ratio: {objective.ratio:g} must be between 0 and 1")
    if objective.at_least < 1:
        raise ConfigError(f"{where}.at_least: {objective.at_least} must be 1 or more")
    if objective.within_s not in END_TO_END_DURATION.buckets:
        place = bisect_left(END_TO_END_DURATION.buckets, objective.within_s)
        nearest = END_TO_END_DURATION.buckets[max(0, place - 1) : place + 1]
        raise ConfigError(
            f"{where}.within_s: {objective.within_s:g} is not a bucket bound; use "
            f"{' or '.join(f'{bound:g}' for bound in nearest)}"
        )
    for name in ("pipeline", "destination", "group"):
        pattern = getattr(objective, name)
        _check(f"{where}.{name}", pattern, r'[^"\\\n]+', "a text without quotes and backslashes")
        try:
            check_pattern(pattern)
        except PatternError as error:
            raise ConfigError(f"{where}.{name}: {error}") from error


def _check_url(name: str, value: str) -> None:
    _check(name, value, _URL, _URL_WORDS)
    try:
        valid = urlsplit(value).port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name}: {value!r} must have a port from 1 to 65535")


def check_filled(name: str, value: str) -> None:
    """Check that a text is not blank.

    Raises:
        ConfigError: It is.
    """
    _check(name, value, r"(?s:.*\S.*)", "a text that is not empty")


def _check(name: str, value: str, pattern: str, words: str) -> None:
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"{name}: {value!r} must be {words}")
