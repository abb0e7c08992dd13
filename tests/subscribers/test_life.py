"""Subscribing, hearing of an incident and leaving, as it goes: a real watch, a real page, a real mail server."""

from __future__ import annotations

import asyncio
import re
import stat
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
from tests.channels.test_email import Mailbox, server
from tests.subscribers.parts import DOOR, EASED, OVER, began, settings, tell, until, watch

from midwatch.faces.status.app import HEADERS
from midwatch.shell.run import Watch


def link(mail: EmailMessage, what: str) -> str:
    [found] = re.findall(rf"{DOOR}(/{what}/\S+)", mail.get_content())
    return str(found)


def door(one: Watch) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.doors.status_port}", trust_env=False)


def test_from_the_form_to_the_end_of_an_incident_and_out_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = Mailbox()

    async def go(port: int) -> None:
        one = watch(settings(tmp_path, port))
        await one.start()
        try:
            async with door(one) as customer:
                page = await customer.get("/")
                assert 'href="subscribe"' in page.text and "Get mail about incidents" in page.text
                asked = await customer.post("/subscribe", data={"address": "ann@example.org", "component": "Shop"})
                assert asked.status_code == 303 and asked.headers["location"] == "asked"
                await until(lambda: len(box.mails) == 1)
                confirm = link(box.mails[0], "confirm")
                assert "ann" not in confirm and "List-Unsubscribe" not in box.mails[0]
                assert "Yes, I want that" in (await customer.get(confirm)).text
                assert one.status.run is not None
                await tell(one, *began(at=one.now() - 60))
                await one.status.run.once()
                assert len(box.mails) == 1, "opening the link is not saying yes: scanners do that"
                assert (await customer.post(confirm)).status_code == 200
                one.status.run._look_at = 0.0
                await tell(one, *EASED)
                await until(lambda: len(box.mails) == 2)
                one.status.run._look_at = 0.0
                await tell(one, *OVER)
                await until(lambda: len(box.mails) == 3)
                first, last = box.mails[1:]
                assert first["Subject"] == "Example: Eased: Errors of Shop" and first["To"] == "ann@example.org"
                assert last["Subject"] == "Example: Over: Errors of Shop"
                assert first["References"] == last["References"] and first["Message-ID"] != last["Message-ID"]
                for mail in (first, last):
                    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
                    assert "secret-billing" not in mail.as_string() and "gateway" not in mail.as_string()
                leave = str(last["List-Unsubscribe"]).strip("<>").removeprefix(DOOR)
                assert leave == link(last, "leave")
                gone = await customer.post(leave, content=b"List-Unsubscribe=One-Click")
                assert gone.status_code == 200 and all(gone.headers[k] == v for k, v in HEADERS.items())
                assert (await customer.post(leave)).status_code == 200, "again is no error"
                assert "not subscribed" in (await customer.get(leave)).text
                await until(lambda: all(m.ended is not None for m in one.state.mailings.values()))
            assert one.status.report()["mails sent"] == 2
            journal = b"".join(bytes(repr(r.event), "utf-8") for r in one.journal.read())
            assert b"ann@" not in journal and b"MailingOrdered" in journal and b"sent=1" in journal
        finally:
            await one.stop()
        book = tmp_path / "watch" / "subscribers.sqlite"
        assert stat.S_IMODE(book.stat().st_mode) == 0o600
        assert b"ann@" not in book.read_bytes(), "leaving erases, on the disk too"

    with server(box) as port:
        asyncio.run(go(port))
    assert "ann@" not in caplog.text
