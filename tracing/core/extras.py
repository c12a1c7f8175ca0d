"""The error of a part of the library whose packages are not installed."""

from __future__ import annotations

from typing import Final

_TOP: Final = __name__.partition(".")[0]


def missing_extra(part: str, extra: str, error: ModuleNotFoundError) -> ModuleNotFoundError:
    """Return the error to raise in place of `error`, which says what to install.

    It is a `ModuleNotFoundError` of the same module, so whatever handles that one goes on.

    Args:
        part: The public module that was imported.
        extra: The extra of the distribution that installs what it needs.
        error: The error. One about the library's own modules is returned as it is.
    """
    missing = error.name or ""
    if not missing or missing.partition(".")[0] == _TOP:
        return error
    return ModuleNotFoundError(
        f"{part} needs {missing.partition('.')[0]}, which is not installed: "
        f"pip install 'pipeline-tracing[{extra}]'",
        name=missing,
        path=error.path,
    )
