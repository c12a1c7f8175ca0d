"""What users change without changing code: names, data sources, selectors, objectives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from tracing.catalog import END_TO_END_DURATION

if TYPE_CHECKING:
    from pathlib import Path


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
    """

    name: str = "end-to-end"
    pipeline: str = ".*"
    destination: str = ".*"
    group: str = ".*"
    within_s: float = 5.0
    ratio: float = 0.99


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What dashboards and rules are made for.

    Attributes:
        prefix: What uids and rule groups begin with.
        title: What titles begin with.
        selector: Matchers that every query has, such as `cluster="eu"`.
        datasources: Where data comes from.
        objectives: What end-to-end lag is measured against, one for each promise.
        grafana_url: Where Grafana is, for links in alerts.
        runbook_url: Where the runbook is, for links in alerts.
        labels: Labels that every alert gets, such as `team: shop`.
        recording_rules: Whether Prometheus has the recording rules loaded. Then lag is asked of
            them, one series by group and topic; without, of all partitions at each look.
    """

    prefix: str = "pipeline"
    title: str = "Pipeline"
    selector: str = ""
    datasources: DataSources = msgspec.field(default_factory=DataSources)
    objectives: tuple[Objective, ...] = (Objective(),)
    grafana_url: str = "http://localhost:3000"
    runbook_url: str = "https://example.com/runbook.md"
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    recording_rules: bool = False


def load_config(file: Path) -> Config:
    """Read a configuration.

    Args:
        file: YAML with the fields of `Config`.

    Raises:
        ConfigError: It cannot be read, or is no configuration.
    """
    try:
        return checked(msgspec.yaml.decode(file.read_bytes(), type=Config))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {error}") from error


def checked(config: Config) -> Config:
    """Check what types cannot.

    Raises:
        ConfigError: A value cannot work.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", config.prefix):
        raise ConfigError(
            f"prefix: {config.prefix!r} must be 1 to 20 lower-case letters, digits and dashes"
        )
    names = [objective.name for objective in config.objectives]
    if not names or len(names) > len(set(names)):
        raise ConfigError("objectives: at least one, each with a name of its own")
    for number, objective in enumerate(config.objectives):
        if not 0 < objective.ratio < 1:
            raise ConfigError(
                f"objectives[{number}].ratio: {objective.ratio:g} must lie between 0 and 1"
            )
        if objective.within_s not in END_TO_END_DURATION.buckets:
            bounds = ", ".join(f"{bound:g}" for bound in END_TO_END_DURATION.buckets)
            raise ConfigError(
                f"objectives[{number}].within_s: {objective.within_s:g} is no bound of a bucket; "
                f"use one of {bounds}"
            )
        for matcher in (objective.pipeline, objective.destination, objective.group):
            if '"' in matcher or "\\" in matcher:
                raise ConfigError(
                    f"objectives[{number}]: {matcher!r} may hold neither quotes nor backslashes"
                )
    return config
