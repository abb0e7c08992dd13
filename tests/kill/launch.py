"""``midwatch up`` as it is installed, under a clock that the test moves: an incident of two minutes takes seconds, and a
busy machine changes nothing, because time waits for the watch.

Only the watch's clock is another one; journal, lease, HTTP, effects and crashes are what they always are. The clock lies in
a file, so a restarted process goes on where the killed one was.
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from pathlib import Path

CLOCK_VARIABLE = "KILL_TEST_CLOCK"


class SharedClock:
    """Unix seconds in a mapped file of eight bytes: read by calling, moved by ``move``."""

    def __init__(self, path: Path, begin: float | None = None) -> None:
        if begin is not None:
            path.write_bytes(struct.pack("d", begin))
        with path.open("r+b") as file:
            self._words = memoryview(mmap.mmap(file.fileno(), 8)).cast("d")

    def __call__(self) -> float:
        return self._words[0]

    def move(self, seconds: float) -> None:
        self._words[0] += seconds


def main() -> None:
    import midwatch.shell.run as run

    clock = SharedClock(Path(os.environ[CLOCK_VARIABLE]))
    run.Watch = functools.partial(run.Watch, clock=clock)  # type: ignore[misc,assignment]
    from midwatch.faces.cli.app import main as midwatch

    midwatch()


if __name__ == "__main__":
    main()
