"""A watch in a process of its own, which tests kill: an incident begins, and its mailing goes to the names given."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.subscribers.parts import began, settings, tell, until, watch

from midwatch.shell.journal.sqlite import SqliteJournal


async def main(folder: Path, port: int, names: list[str]) -> None:
    using = settings(folder, port)
    using.folder.mkdir(exist_ok=True)
    one = watch(using, SqliteJournal(using.journal_file))
    await one.start()
    try:
        assert one.status.book is not None
        if not one.state.incidents:
            for name in names:
                one.status.book.add(f"{name}@example.org", (), one.now())
            await tell(one, *began(at=one.now() - 60))
        await until(lambda: bool(one.state.mailings) and all(m.ended for m in one.state.mailings.values()))
    finally:
        await one.stop()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
