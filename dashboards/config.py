"""What users change without changing code: names, data sources, selectors, objectives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from dashboards.config_checks import ConfigError, checked

if TYPE_CHECKING:
    from pathlib import Path


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
