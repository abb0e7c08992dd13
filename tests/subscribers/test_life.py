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

from midwatch.faces.api.app import api_app
from midwatch.faces.status.app import HEADERS, status_app
from midwatch.model.errors import JournalError
from midwatch.model.events import Recorded, SubscribersTouched
from midwatch.shell import public_server
from midwatch.shell.config import Settings
from midwatch.shell.run import Watch
from midwatch.shell.subscribers.mailing import TROUBLE
from midwatch.shell.subscribers.opened import FILE


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


def test_subscribers_are_an_admins_business_and_every_look_is_journaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ana", "ben"):
        monkeypatch.setenv(f"{name.upper()}_TOKEN", f"{name}-{'x' * 30}")

    async def go() -> None:
        using = settings(
            tmp_path,
            1,
            more={
                "tokens": {"ana": "env:ANA_TOKEN", "ben": "env:BEN_TOKEN"},
                "access": {"people": {"ana": "admin", "ben": "operator"}},
            },
        )
        one = watch(using)
        await one.start()
        try:
            transport = httpx.ASGITransport(app=api_app(one))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1/status-page") as api:

                async def ask(holder: str, what: str, **body: object) -> httpx.Response:
                    bearer = {"Authorization": f"Bearer {holder}-{'x' * 30}"}
                    return await api.post(f"/subscribers/{what}", json=body, headers=bearer)

                for what, body in (("add", {"address": "ann@example.org"}), ("list", {}), ("remove", {"who": "x"})):
                    refused = await ask("ben", what, **body)
                    assert refused.status_code == 403, refused.text
                    assert (await ask("nobody", what, **body)).status_code == 401
                added = await ask("ana", "add", address="ann@example.org", confirmed=True)
                assert added.status_code == 201
                ident = added.json()["id"]
                assert (await ask("ana", "add", address="no address")).status_code == 400
                assert (await ask("ana", "add", address="a@b.c", components=["Nope"])).status_code == 400
                asked = await ask("ana", "add", address="ben@example.org")
                assert asked.status_code == 201 and asked.json()["confirmed_at"] is None
                assert (await ask("ana", "add", address="ben@example.org")).status_code == 400, "asked a moment ago"
                found = (await ask("ana", "list")).json()["subscribers"]
                assert [row["address"] for row in found] == ["ann@example.org", "ben@example.org"]
                assert (await ask("ana", "remove", who="ANN@example.org")).json() == {"removed": ident}
                assert (await ask("ana", "remove", who="ann@example.org")).status_code == 404
            events = [r.event for r in one.journal.read()]
            touched = [e for e in events if isinstance(e, SubscribersTouched)]
            assert [(e.what, e.by, e.count) for e in touched] == [
                ("added", "ana", 1),
                ("added", "ana", 1),
                ("listed", "ana", 2),
                ("removed", "ana", 1),
            ]
            assert "example.org" not in "".join(repr(e) for e in touched)
            assert "midwatch_status_mails_sent_total 0" in one.metrics()
        finally:
            await one.stop()

    asyncio.run(go())


def test_what_the_journal_does_not_take_is_not_done_to_the_list(tmp_path: Path) -> None:
    async def go() -> None:
        one = watch(settings(tmp_path, 1))
        await one.start()
        try:
            office, book, append = one.status, one.status.book, one.books.append
            assert book is not None

            async def full(*_: object) -> list[Recorded]:
                raise JournalError("no room")

            async def refused() -> None:
                with pytest.raises(JournalError):
                    await office.remove("ann@example.org", "ana")
                with pytest.raises(JournalError):
                    await office.add("ben@example.org", (), True, "ana")
                assert [one.address for one in book.all()] == ["ann@example.org"]

            await office.add("ann@example.org", (), True, "ana")
            one.books.append = full  # type: ignore[assignment]
            await refused()
            one.books.append = append  # type: ignore[method-assign]
            leads, office._leading = office._leading, lambda: False
            await refused()
            office._leading = leads
            await office.remove("ann@example.org", "ana")
            assert book.all() == []
            touched = [r.event for r in one.journal.read() if isinstance(r.event, SubscribersTouched)]
            assert [e.what for e in touched] == ["added", "removed"]
        finally:
            await one.stop()

    asyncio.run(go())


def test_the_door_holds_against_forged_links_floods_large_forms_and_half_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    box = Mailbox()

    async def go(port: int) -> None:
        one = watch(settings(tmp_path, port))
        await one.start()
        try:
            async with door(one) as customer:
                for path in ("/confirm/x.0.y", "/leave/x.0.y", "/confirm/" + "a" * 500, "/leave/%00", "/confirm/ü"):
                    answer = await customer.post(path)
                    assert answer.status_code in (404, 410), path
                    assert (await customer.get(path)).status_code in (200, 410)
                assert (await customer.post("/subscribe", content=b"address=" + b"a" * 20_000)).status_code == 413
                assert (await customer.post("/subscribe", content=b"\xff&&=&address=%ff")).status_code == 422
                wrong = await customer.post("/subscribe", data={"address": "<script>x</script>"})
                assert wrong.status_code == 422 and "<script>x" not in wrong.text
                answers = [
                    (await customer.post("/subscribe", data={"address": f"p{n}@example.org"})).status_code
                    for n in range(9)
                ]
                assert answers[-1] == 429 and answers.count(303) <= 5
                assert (await customer.get("/")).status_code == 200, "everybody else is served"
                for path in ("/api/v1/status", "/incidents", "/metrics", "/docs", "/openapi.json"):
                    assert (await customer.get(path)).status_code == 404, "nothing else is behind this door"
                feed = await customer.get("/history.atom")
                assert feed.headers["content-type"].startswith("application/atom+xml")
                assert (await customer.get("/status.json")).json()["title"] == "Example"
                monkeypatch.setattr(public_server, "HEAD_SECONDS", 0.3)
                monkeypatch.setattr(public_server, "EXCHANGE_SECONDS", 0.3)
                for half in (b"", b"Content-Length: 99\r\n\r\naddress="):
                    reader, writer = await asyncio.open_connection("127.0.0.1", one.doors.status_port)
                    writer.write(b"POST /subscribe HTTP/1.1\r\nHost: x\r\n" + half)
                    assert b"200" not in await asyncio.wait_for(reader.read(), 60)
                    writer.close()
        finally:
            await one.stop()

    with server(box) as port:
        asyncio.run(go(port))
    assert "Traceback" not in capfd.readouterr().err, "a stranger who hangs up fills no log"


def test_a_damaged_book_is_said_and_keeps_nobody_from_standing_watch(tmp_path: Path) -> None:
    using = settings(tmp_path, 1)
    using.folder.mkdir()
    (using.folder / FILE).write_bytes(b"no database at all" * 100)

    async def go() -> None:
        one = watch(using)
        await one.start()
        try:
            assert "nobody can subscribe" in one.vitals.troubles[TROUBLE]
            async with door(one) as customer:
                assert "subscribe" not in (await customer.get("/")).text
                assert (await customer.get("/subscribe")).status_code == 404
        finally:
            await one.stop()

    asyncio.run(go())


def test_who_comes_through_a_trusted_proxy_is_told_apart_and_who_merely_says_so_is_not(tmp_path: Path) -> None:
    async def ask(using: Settings, said: str) -> int:
        one = watch(using)
        await one.start()
        try:
            app = status_app(one.status, one.gate)
            transport = httpx.ASGITransport(app=app, client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as customer:
                for n in range(9):
                    answer = await customer.post(
                        "/subscribe", data={"address": f"p{n}@example.org"}, headers={"X-Forwarded-For": said.format(n)}
                    )
            return answer.status_code
        finally:
            await one.stop()

    believed = settings(tmp_path / "a", 1, more={"access": {"proxy": {"addresses": ["192.0.2.1"]}}})
    assert asyncio.run(ask(believed, "9.9.9.9, 198.51.100.{0}")) == 303
    assert asyncio.run(ask(believed, "198.51.100.{0}, 9.9.9.9")) == 429, "only the last one is the proxy's word"
    assert asyncio.run(ask(settings(tmp_path / "b", 1), "198.51.100.{0}")) == 429
