"""Writing the report's files, so that a reader never sees an incomplete one."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from demo_pipeline.report.analysis import analyse
from demo_pipeline.report.model import RunResult
from demo_pipeline.report.otlp_json import metric_lines, trace_lines
from demo_pipeline.report.page import render_page


class ReportNotWrittenError(OSError):
    """The report could not be written; the message says where, why, and what to do."""


def write_report(result: RunResult, directory: Path) -> tuple[Path, ...]:
    """Write `report.html`, `traces.jsonl` and `metrics.jsonl`, and return their paths.

    The folder is created if it is missing; files of an earlier report are replaced.

    Raises:
        ReportNotWrittenError: The folder cannot be written; an `OSError`.
    """
    return write_files(
        directory,
        {
            "report.html": (render_page(result, analyse(result)),),
            "traces.jsonl": trace_lines(result.spans),
            "metrics.jsonl": metric_lines(result.metrics),
        },
    )


def write_files(directory: Path, contents: Mapping[str, Iterable[str]]) -> tuple[Path, ...]:
    """Write files into a folder; none appears before all are complete.

    The folder is created if it is missing. Only the owner can read the files and a new folder,
    because they show orders.

    Raises:
        ReportNotWrittenError: The folder or a file in it cannot be written.
    """
    pending = {directory / f".{name}.{os.getpid()}.partial": directory / name for name in contents}
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_leftovers(directory, contents)
        for (partial, target), chunks in zip(pending.items(), contents.values(), strict=True):
            if target.is_dir():
                raise _not_written(directory, f"{target.name} in it is a folder")
            # Left by a process of the same id, or a link put there by another user.
            partial.unlink(missing_ok=True)
            with open(
                partial, "w", encoding="utf-8", newline="\n", opener=_opened_privately
            ) as file:
                file.writelines(chunks)
        for partial, target in pending.items():
            partial.replace(target)
    except ReportNotWrittenError:
        raise
    except FileExistsError as error:
        raise _not_written(directory, "it is a file, not a folder") from error
    except OSError as error:
        raise _not_written(directory, error.strerror or str(error)) from error
    finally:
        for partial in pending:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    return tuple(pending.values())


def _opened_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)


def _remove_leftovers(directory: Path, names: Iterable[str]) -> None:
    """Remove the partial files of killed processes."""
    for name in names:
        for partial in directory.glob(f".{name}.*.partial"):
            number = partial.suffixes[-2][1:]
            if number.isdecimal() and not _is_alive(int(number)):
                with suppress(OSError):
                    partial.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _not_written(directory: Path, why: str) -> ReportNotWrittenError:
    return ReportNotWrittenError(
        f"cannot write the report to {directory}: {why}; choose a writable folder"
    )
