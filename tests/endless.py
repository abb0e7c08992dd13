"""A sender that never ends its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator


class Endless:
    """Blanks without end; ``given`` counts the bytes that were taken."""

    def __init__(self) -> None:
        self.given = 0

    async def words(self) -> AsyncIterator[bytes]:
        while True:
            self.given += 65_536
            yield b" " * 65_536
