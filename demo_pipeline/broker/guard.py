"""Runs a program that must not outlive whoever started it, however that one dies.

    python guard.py PROGRAM [ARGUMENT ...]

Standard input is a pipe whose other end the parent holds. When it closes, be it by the parent's
will or because it was killed, the program is ended, and so is this process. If the program ends
by itself, this process ends with its exit status. It uses the standard library alone, so that it
starts at once.
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
