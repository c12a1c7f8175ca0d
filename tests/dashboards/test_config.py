"""A configuration that is made in Python is checked like a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dashboards.config import Config, ConfigError, DataSources, Kubernetes, Objective, load_config
from dashboards.files import generated
from dashboards.own import Own, OwnSignal

if TYPE_CHECKING:
    from pathlib import Path

WRONG: tuple[dict[str, Any], ...] = (
    {"prefix": "A B"},
    {"min_step": "10m"},
    {"objectives": ()},
    {"objectives": (Objective(), Objective(within_s=10.0))},
    {"objectives": (Objective(within_s=6.5),)},
    {"objectives": (Objective(ratio=99.0),)},
    {"objectives": (Objective(group="("),)},
    {"labels": {"pipeline": "x"}},
    {"selector": {"cluster": 'a"b'}},
    {"pipelines": ("a(",)},
    {"datasources": DataSources(tempo="")},
    {"kubernetes": Kubernetes(namespace="My Shop")},
    {"grafana_url": "g.example.com"},
)


@pytest.mark.parametrize("values", WRONG, ids=lambda values: next(iter(values)))
def test_a_wrong_value_is_refused_with_the_text_that_a_file_gets(
    values: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(msgspec.yaml.encode(values))
    with pytest.raises(ConfigError) as from_file:
        load_config(file)
    with pytest.raises(ConfigError) as made:
        Config(**values)
    assert f"{file}: {made.value}" == str(from_file.value)


def test_a_wrong_query_is_refused_when_files_are_generated() -> None:
    signal = OwnSignal(name="left", title="Left", description="Carts.", query="sum((")
    config = Config(own=Own(signals=(signal,)))
    with pytest.raises(ConfigError, match=r"own.signals\[0\].query: 'sum\(\('"):
        generated(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"prefix: a\ntitle: Shop\nprefix: b\n",
            ": 'prefix' is there twice, in lines 1 and 3: only the last one would count",
        ),
        (
            b"own:\n  signals: []\ntitle: Shop\nown:\n  alerts: []\n",
            ": 'own' is there twice, in lines 1 and 4: only the last one would count",
        ),
        (b"objectives:\n- {name: a, ratio: 0.9, name: b}\n", ": 'name' is there twice, in"),
        (b"\xff\xfe", " is not a text in UTF-8"),
        ("title: Läden".encode("latin-1"), " is not a text in UTF-8"),
    ],
)
def test_what_would_be_dropped_without_a_word_is_refused(
    text: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(text)
    with pytest.raises(ConfigError) as refused:
        load_config(file)
    assert str(refused.value).startswith(f"{file}{message}")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbftitle: Shop\n",
        "title: Läden\n".encode(),
        b"selector: &one {cluster: eu}\nlabels: *one\n",
        b"objectives: [{name: a}, {name: b}]\n",
    ],
)
def test_a_file_without_repeated_keys_is_read(text: bytes, tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(text)
    assert Config() != load_config(file)


def test_an_alias_of_the_mapping_that_it_is_in_ends(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(b"own: &own {boards: [*own]}\n")
    with pytest.raises(ConfigError):
        load_config(file)
