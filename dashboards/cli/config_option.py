"""The option `--config`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from dashboards.config import Config, ConfigError, load_config

CONFIG_FILE: Final = "dashboards.config_file"
"""Where the context of a command has the name of the file."""


class _ConfigType(click.ParamType[Config]):
    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Config:
        """Read the file."""
        if isinstance(value, Config):
            return value
        from dashboards.boards.all_boards import make_boards
        from dashboards.rules.alerts import make_alerts

        if ctx is not None:
            ctx.meta[CONFIG_FILE] = value
        try:
            config = load_config(Path(str(value)))
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        try:
            make_boards(config)
            make_alerts(config)
        except ConfigError as error:
            self.fail(f"{value}: {error}", param, ctx)
        return config


config_option: Final = click.option(
    "--config", type=_ConfigType(), default=Config(), show_default="built-in", metavar="FILE",
    help="YAML file with names, selectors, data sources and objectives; an example is in docs.",
)  # fmt: skip
