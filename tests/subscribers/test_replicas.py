"""Two replicas, one book: a form on either, mails from the one that leads, and nothing twice when the other takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.channels.test_email import Mailbox, server
from tests.ha.postgres import Server
from tests.subscribers.parts import OVER, began, settings, tell, until, watch
from tests.subscribers.test_life import door, link

from midwatch.model.errors import JournalError
from midwatch.model.events import Event
from midwatch.shell.config import Settings
from midwatch.shell.run import Watch


async def told(those: Sequence[Watch], *events: Event) -> bool:
    """Whether whoever leads has it in the journal now: on a busy machine the lease may move meanwhile."""
    leader = next((one for one in those if one.duty.leading), None)
    try:
        if leader is not None:
            await tell(leader, *events)
    except JournalError:
        return False
    return leader is not None


@pytest.mark.integration
def test_a_form_at_the_standby_and_a_leader_that_goes(tmp_path: Path) -> None:
    database, box = Server(), Mailbox()
    (tmp_path / "dsn").write_text(database.dsn)

    def replica(name: str, port: int) -> Settings:
        journal = {"postgres": f"file:{tmp_path / 'dsn'}", "replica": name}
        return settings(tmp_path / name, port, more={"journal": journal})

    async def go(port: int) -> None:
        both = [watch(replica(name, port)) for name in ("a", "b")]
        running: dict[Watch, asyncio.Task[None]] = {}
        try:
            for one in both:
                await one.start()
                running[one] = asyncio.create_task(one.run())
            await until(lambda: any(one.duty.leading for one in both))
            standby = next(one for one in both if not one.duty.leading)
            async with door(standby) as customer:
                await customer.post("/subscribe", data={"address": "ann@example.org"})
                await until(lambda: len(box.mails) == 1)
                assert (await customer.post(link(box.mails[0], "confirm"))).status_code == 200
            await until(lambda: told(both, *began(at=standby.now() - 60)))
            await until(lambda: len(box.mails) == 2)
            await until(lambda: all(one.state.mailings and one.state.mailings["INC-1"].ended for one in both))
            gone = next((one for one in both if one.duty.leading), both[0])
            left = next(one for one in both if one is not gone)
            gone.request_stop()
            await running.pop(gone)
            await gone.stop()
            await until(lambda: told([left], *OVER))
            await until(lambda: len(box.mails) == 3)
            async with door(left) as customer:
                assert (await customer.post(link(box.mails[-1], "leave"))).status_code == 200
        finally:
            for one in both:
                one.request_stop()
            await asyncio.gather(*running.values(), return_exceptions=True)
            for one in both:
                await one.stop()

    try:
        with server(box) as port:
            asyncio.run(go(port))
    finally:
        database.close()
    heads = [str(mail["Subject"]).removeprefix("Example: ").partition(":")[0] for mail in box.mails]
    assert heads == ["do you want mail about incidents?", "Began", "Over"]
