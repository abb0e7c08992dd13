"""Pages to the terminal (or wherever standard error goes): for a first look, and when no other channel is set."""

from __future__ import annotations

import sys
from typing import TextIO

from midwatch.model.errors import ChannelError
from midwatch.model.events import PageOrdered


class ConsoleChannel:
    """Writes one page as a few lines of text; control characters are made visible, never sent to a terminal."""

    def __init__(self, name: str = "console", stream: TextIO | None = None) -> None:
        self._name, self._stream = name, stream

    @property
    def name(self) -> str:
        return self._name

    async def send(self, page: PageOrdered) -> None:
        repeat = f" (repeat {page.repeat})" if page.repeat else ""
        text = f"PAGE SEV{page.severity} {page.incident}{repeat}: {page.subject}\n{page.text}"
        try:
            print(_printable(text), file=self._stream or sys.stderr, flush=True)
        except (OSError, ValueError) as error:
            raise ChannelError(f"the terminal is gone: {type(error).__name__}", retry_after_seconds=None) from error


def _printable(text: str) -> str:
    return "".join(c if c == "\n" or c.isprintable() else f"\\x{ord(c):02x}" for c in text)
