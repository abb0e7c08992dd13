"""The kill switch: a word that holds from the moment it is said, and a file that outlives the process."""

from __future__ import annotations

import contextlib
from pathlib import Path

from midwatch.model.errors import UsageError


class KillSwitch:
    """``by`` is who said hands off, "" for nobody: neither file nor journal can keep it from holding."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.by = ""

    def throw(self, by: str, via: str) -> None:
        """Effects look at both, word and file."""
        self.hold(by)
        with contextlib.suppress(OSError):
            self.file.write_text(f"{by} via {via}\n", "utf-8")

    def hold(self, by: str) -> None:
        self.by = by or "a person"

    def release(self) -> None:
        """Raises UsageError when the file stays: then hands stay off."""
        try:
            self.file.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"{self.file} cannot be removed: {error.strerror}", hint="remove it by hand") from error
        self.by = ""

    @property
    def thrown(self) -> bool:
        """By word or file. A folder that cannot be looked into counts as yes."""
        try:
            return bool(self.by) or self.file.exists()
        except OSError:
            return True
