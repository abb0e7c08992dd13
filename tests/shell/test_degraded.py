"""What works less well is said on every page, and what can go on goes on. The store, sources, the loop and the journal have
theirs in test_intake, test_sources and test_watch; copies in test_backup; a leader that is gone in tests/ha."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from tests.ha.postgres import Proxy, Server
from tests.shell.conftest import RecordingHands, make_settings
from tests.shell.test_watch import ACTION, Script, watch_of

from midwatch.faces.console.app import console_app
from midwatch.model import events as e
from midwatch.model.actions import Verdict
from midwatch.model.errors import ChannelError, JournalError
from midwatch.model.events import PageOrdered
from midwatch.model.policy import Policy
from midwatch.shell import duty, handover, people_files
from midwatch.shell.config import Settings
from midwatch.shell.effects import Limits
from midwatch.shell.files import Loaded
from midwatch.shell.health import Health, prometheus_text
from midwatch.shell.journal import postgres
from midwatch.shell.journal.postgres import PostgresJournal
from midwatch.shell.journal.sqlite import SqliteJournal
from midwatch.shell.leader import Holder
from midwatch.shell.run import Watch

PAGE = PageOrdered("PAGE-1", "INC-1", "INC-1/phone/0", "phone", "SEV1 INC-1", "payment is down", severity=1)


async def shown(watch: Watch) -> str:
    """The first page, as anybody gets it."""
    transport = httpx.ASGITransport(app=console_app(watch))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get("/")).text


class Phone:
    name = "phone"

    def __init__(self) -> None:
        self.down, self.pages = True, list[PageOrdered]()

    async def send(self, page: PageOrdered) -> None:
        if self.down:
            raise ChannelError("no line", retry_after_seconds=0.01)
        self.pages.append(page)


def test_a_channel_that_takes_no_page(tmp_path: Path) -> None:
    async def go() -> None:
        phone = Phone()
        limits = Limits(page_attempts=100)
        watch = Watch(make_settings(tmp_path), channels=[phone], policy=Policy(), limits=limits)
        await watch.start()
        watch.effects.page_anyway(PAGE)
        await until(lambda: "channel phone" in watch.vitals.troubles)
        assert "the channel phone takes no page: no line" in await shown(watch)
        assert 'midwatch_trouble{part="channel phone"} 1' in watch.metrics()
        phone.down = False
        await watch.effects.drain(5)
        assert [page.key for page in phone.pages] == [PAGE.key] and "takes no page" not in await shown(watch)
        await watch.stop()

    asyncio.run(go())


def test_a_part_with_a_name_of_its_own_is_one_label() -> None:
    health = Health(troubles={'channel the "night" \\ phone\n2': "no line"})
    assert 'midwatch_trouble{part="channel the \\"night\\" \\\\ phone\\n2"} 1\n' in prometheus_text(health, {}, {})


def test_work_beside_the_loop_that_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns on, and every page says what is not done any more."""
    monkeypatch.setattr(people_files, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(people_files.PeopleFiles, "look", lambda self: 1 / 0)

    async def go() -> None:
        watch = Watch(make_settings(tmp_path))
        await watch.start()
        await until(lambda: "PeopleFiles.follow" in watch.vitals.troubles)
        assert "PeopleFiles.follow broke (ZeroDivisionError) and does no more: restart midwatch" in await shown(watch)
        assert 'midwatch_trouble{part="PeopleFiles.follow"} 1' in watch.metrics()
        await watch.tick_once()
        await watch.stop()

    asyncio.run(go())


def test_a_journal_on_its_ballast(tmp_path: Path) -> None:
    """SQLite says that the disk is full; the ballast goes, and the watch goes on writing in the room that it left."""

    async def go() -> None:
        settings = make_settings(tmp_path)
        settings.folder.mkdir()
        journal = SqliteJournal(settings.journal_file, ballast_bytes=1024 * 1024)
        watch = Watch(settings, journal=journal, policy=Policy())
        await watch.start()
        assert await watch.books.renew() and "disk" not in watch.vitals.troubles
        free, take = journal.ballast.free, journal.ballast.take

        def freed() -> bool:
            _limit(journal, 1_000_000)
            journal.ballast.take = lambda: False  # type: ignore[method-assign]  # while the disk is full
            return free()

        journal.ballast.free = freed  # type: ignore[method-assign]
        _limit(journal, 0)
        (written,) = await watch.books.append([e.PostmortemWritten("inc-1", "x" * 100_000)], 2.0)
        assert await watch.books.renew()
        assert "its ballast is used up" in await shown(watch)
        assert written.seq == watch.head.seq and not journal.ballast.held
        journal.ballast.take = take  # type: ignore[method-assign]
        assert journal.ballast.take()
        assert await watch.books.renew() and "ballast" not in await shown(watch)
        await watch.stop()

    asyncio.run(go())


def _limit(journal: SqliteJournal, more_pages: int) -> None:
    with journal._writer.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages + more_pages}")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty, "REPORT_SECONDS", 0.05)
    monkeypatch.setattr(duty, "LOST_SECONDS", 0.3)
    monkeypatch.setattr(postgres, "TRANSACTION_SECONDS", 2.0)


def replicated(tmp_path: Path, name: str, journal: PostgresJournal) -> Watch:
    settings = make_settings(tmp_path / name, journal={"postgres": "env:UNUSED", "replica": name})
    return Watch(settings, journal=journal, policy=Policy())


async def led(watch: Watch, test: Callable[[], Awaitable[None]]) -> None:
    await watch.start()
    running = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.duty.leading)
        await test()
    finally:
        watch.request_stop()
        await running
        await watch.stop()


def test_a_standby_that_is_lost(server: Server, tmp_path: Path, quick: None) -> None:
    journal = PostgresJournal(server.dsn, schema="degraded_standby")
    other = PostgresJournal(server.dsn, schema="degraded_standby")
    watch = replicated(tmp_path, "a", journal)

    def heard_of(replica: str) -> bool:
        """Whether a standby that goes on reporting is known."""
        other.report(replica, "standby", 1, "")
        return "standby" not in watch.vitals.troubles

    async def test() -> None:
        await until(lambda: "standby" in watch.vitals.troubles)
        assert "no other replica stands by" in await shown(watch)
        await until(lambda: heard_of("b"))
        await until(lambda: "standby" in watch.vitals.troubles)
        assert "a standby is lost: b was last heard of" in await shown(watch)
        other.sign_off("b")
        await until(lambda: heard_of("c"))

    asyncio.run(led(watch, test))
    other.close()


def test_files_that_take_longer_to_read_than_a_lease_lasts(
    server: Server, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand promises take seconds: whoever takes over reads them, keeps the lease, and pages meanwhile."""
    journal = PostgresJournal(server.dsn, schema="degraded_files", lease_seconds=1.0)
    other = PostgresJournal(server.dsn, schema="degraded_files", lease_seconds=1.0, me=Holder("elsewhere", 1))
    read, taken = handover.load_policy_that_can_be, list[str]()

    def slowly(settings: Settings) -> Loaded:
        for _ in range(25):
            time.sleep(0.1)
            taken.append(other.try_take())
        paged.extend(phone.pages)
        return read(settings)

    assert other.try_take()
    other.append([e.WatchStarted("1", other.epoch), PAGE], 1.0)
    other.lease.release()
    phone, paged = Phone(), list[PageOrdered]()
    phone.down = False

    settings = make_settings(tmp_path / "a", journal={"postgres": "env:UNUSED", "replica": "a"})
    watch = Watch(settings, journal=journal, channels=[phone])
    monkeypatch.setattr(duty, "RENEW_SECONDS", 0.1)

    async def go() -> None:
        await watch.start()
        monkeypatch.setattr(handover, "load_policy_that_can_be", slowly)
        running = asyncio.create_task(watch.run())
        await until(lambda: watch.duty.leading)
        watch.request_stop()
        await running
        await watch.stop()

    asyncio.run(go())
    assert len(taken) == 25 and not any(taken), "nobody else could take it"
    assert [page.key for page in paged] == [PAGE.key], "what was due did not wait for the files"
    other.close()


def test_a_leader_whose_database_is_gone(
    server: Server, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no action, leaves paging to whoever may lead now, and pages itself once that has gone on too long."""
    proxy = Proxy(server.port)
    phone = Phone()
    phone.down = False
    journal = PostgresJournal(server.dsn_at(proxy.port), schema="degraded_database", lease_seconds=1.0)
    watch = replicated(tmp_path, "a", journal)
    watch.effects._channels["phone"] = phone

    async def test() -> None:
        proxy.dark = True
        await until(lambda: "lease" in watch.vitals.troubles and not watch.books.held(0.0))
        assert "the lease could not be renewed" in await shown(watch)
        watch._page_without_journal([PAGE], watch.now())
        await watch.effects.drain(5)
        assert phone.pages == []
        monkeypatch.setattr(duty, "BLIND_SECONDS", 0.0)
        watch._page_without_journal([PAGE], watch.now())
        await until(lambda: phone.pages)
        assert "takes no action" in phone.pages[0].text
        with pytest.raises(JournalError):
            await watch.command(e.CommandGiven("note", "ann"))
        proxy.dark = False
        await until(lambda: "lease" not in watch.vitals.troubles and watch.books.held(0.0))
        await watch.command(e.CommandGiven("note", "ann"))
        assert watch.vitals.troubles.keys() <= {"standby"}

    asyncio.run(led(watch, test))
    proxy.close()


def test_a_dead_man_that_does_not_answer(tmp_path: Path) -> None:
    async def go() -> None:
        settings = make_settings(tmp_path, heartbeat_url="http://127.0.0.1:1/a-secret", heartbeat_seconds=0.1)
        watch = Watch(settings, policy=Policy())
        await watch.start()
        running = asyncio.create_task(watch.run())
        await until(lambda: watch.heartbeat is not None and watch.heartbeat.pulse.ok is False)
        page = await shown(watch)
        assert "the dead-man call fails: ConnectError" in page and "a-secret" not in page
        watch.request_stop()
        await running
        await watch.stop()

    asyncio.run(go())


def test_who_took_over_waits_out_what_the_leader_before_may_have_begun(tmp_path: Path) -> None:
    async def go() -> None:
        hands = RecordingHands()
        script = Script([e.ActionJudged(ACTION, Verdict("run", "all", "")), e.ActionOrdered(ACTION.id), PAGE])
        phone = Phone()
        phone.down = False
        watch = watch_of(make_settings(tmp_path), script, actuators=[hands], channels=[phone])
        await watch.start()
        watch.effects.wait_out(3600)
        assert "no action begins for" in await shown(watch)
        await watch.tick_once()
        await until(lambda: phone.pages)
        assert hands.done == {}, "pages do not wait, actions do"
        watch.effects.wait_out(0)
        await watch.effects.drain(20)
        assert list(hands.done) == [ACTION.key]
        assert "no action begins for" not in await shown(watch)
        await watch.stop()

    asyncio.run(go())


async def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in time")
