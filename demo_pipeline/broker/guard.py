"""Runs a program that must not outlive its parent, however the parent dies.

    python guard.py PROGRAM [ARGUMENT ...]

Standard input is a pipe whose other end the parent holds. When the pipe closes, because the parent
wants it or was killed, this process kills the program and ends. If the program ends by itself, this
process ends with its exit status. It imports the standard library alone, so that it starts at once.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """Run the program until it or the parent is gone."""
    # Ctrl-C in a terminal reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 - what we are for

    def end_with_parent() -> None:
        while os.read(0, 4096):
            pass
        program.kill()

    threading.Thread(target=end_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: program.kill())
    return program.wait()


if __name__ == "__main__":
    sys.exit(main())
