"""The program, by whatever name: `labkit` and `python -m labkit`. Answers Ctrl-C while the modules are still loading."""

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Load the command line and run it."""
    plain = signal.getsignal(signal.SIGINT)
    if plain is signal.default_int_handler:  # and not ignored, as in the background of a script
        signal.signal(signal.SIGINT, _interrupted)
    from labkit.cli import main

    signal.signal(signal.SIGINT, plain)
    main()


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    """End at once: nothing is begun, and a module that is half loaded might take an exception for one of its own."""
    try:
        os.write(2, b"labkit: interrupted\n")
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
