"""A file that only takes up room, so that there is room to write the moment the disk is full.

Freeing it buys the journal a few thousand entries more: enough to write down what happens while somebody is paged.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

DEFAULT_BYTES = 16 * 1024 * 1024


class Ballast:
    """``path`` holds ``size_bytes`` of real blocks while ``held``. ``size_bytes`` 0 turns it off."""

    def __init__(self, path: Path, size_bytes: int = DEFAULT_BYTES) -> None:
        self.path = path
        self.size_bytes = size_bytes

    @property
    def held(self) -> bool:
        try:
            return self.size_bytes > 0 and self.path.stat().st_size >= self.size_bytes
        except OSError:
            return False

    def take(self) -> bool:
        """Take the room when the disk has at least twice as much to spare; never raises."""
        if self.size_bytes <= 0 or self.held:
            return self.held
        try:
            if self.free_bytes() < 3 * self.size_bytes:
                return False
            block = os.urandom(65536)  # neither sparse nor compressible, whatever the file system does
            with self.path.open("wb") as file:
                left = self.size_bytes
                while left > 0:
                    left -= file.write(block[:left])
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self.free()
        return self.held

    def free_bytes(self) -> int:
        """What is left on its disk; 0 when that cannot be told."""
        try:
            return shutil.disk_usage(self.path.parent).free
        except OSError:
            return 0

    def free(self) -> bool:
        """Give the room back. True when there was any."""
        was_held = self.held
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            return False
        return was_held
