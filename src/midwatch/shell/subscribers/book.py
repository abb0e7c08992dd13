"""The subscribers' book: who gets mail, and which mail is on its way to whom.

A mail is claimed durably (``take``) before it is handed to the server, and a claim that a process left behind when it died
is in doubt: it is never claimed again. So nobody gets the same mailing twice, whatever is killed when.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.engine import Row

from midwatch.shell.subscribers.tables import WELCOME, keys, mails, metadata, subscribers

DAY_SECONDS: Final = 86_400.0
CONFIRM_SECONDS: Final = DAY_SECONDS
ASK_AGAIN_SECONDS: Final = 600.0
MAX_ASKS: Final = 3  # of one address in a day
MAX_ASKED: Final = 1000  # who have not confirmed: then the oldest go
REFUSALS: Final = 3  # mailings on end after which an address is taken to be gone


_COPIED: Final = (mails, keys, subscribers)

Rows = dict[str, list[dict[str, Any]]]
"""Table -> its rows."""


@dataclass(frozen=True)
class Subscriber:
    """``components`` are names, empty for all. ``confirmed_at`` is None until the owner of the address said yes."""

    ident: str
    address: str
    components: tuple[str, ...]
    confirmed_at: float | None
    asked_at: float
    refused: int = 0


@dataclass(frozen=True)
class Due:
    """A mail that may go now."""

    mailing: str
    subscriber: Subscriber
    tries: int


class Book:
    """``transaction`` gives a connection that is committed at the end of its block. Thread-safe as far as that is. Whatever
    it raises when the database does not answer (JournalError) goes on to the caller."""

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Connection]],
        most: int,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._transaction, self._most = transaction, most
        self.close = close

    def key(self) -> bytes:
        """What links are signed with: made once, shared by replicas."""
        with self._transaction() as connection:
            return bytes(connection.execute(select(keys.c.key).where(keys.c.name == "links")).scalar_one())

    # -- who --

    def ask(self, address: str, components: Sequence[str], now: float) -> str:
        """Somebody, who need not be its owner, wants mail for ``address``: a mail that asks (or says that it is known) waits
        to be sent. "" or why not: ``full``; ``soon`` when it was asked for too often."""
        same = comparable(address)
        with self._transaction() as connection:
            _forget_unconfirmed(connection, now)
            row = connection.execute(select(subscribers).where(subscribers.c.same == same)).first()
            if _many(connection, True) >= self._most:
                return "full"  # for everybody: else one could ask who is in it
            if row is None:
                _make_room(connection)
                ident = secrets.token_urlsafe(12)
                connection.execute(insert(subscribers).values(_fresh(ident, address, components, now, None)))
            else:
                ident = row.id
                asked = row.asked if row.asked_at > now - DAY_SECONDS else 0
                if row.asked_at > now - ASK_AGAIN_SECONDS or asked >= MAX_ASKS:
                    return "soon"
                values: dict[str, Any] = {"asked_at": now, "asked": asked + 1}
                if row.confirmed_at is None:  # what a stranger asks changes nothing for who is subscribed
                    values["components"] = json.dumps(list(components))
                connection.execute(update(subscribers).where(subscribers.c.id == ident).values(values))
            connection.execute(delete(mails).where(mails.c.mailing == WELCOME, mails.c.subscriber == ident))
            connection.execute(insert(mails).values(_waiting(WELCOME, ident)))
        return ""

    def add(self, address: str, components: Sequence[str], now: float) -> Subscriber | None:
        """Somebody in charge knows that its owner wants it: confirmed at once. None when the book is full."""
        with self._transaction() as connection:
            row = connection.execute(select(subscribers).where(subscribers.c.same == comparable(address))).first()
            if (row is None or row.confirmed_at is None) and _many(connection, True) >= self._most:
                return None
            ident = row.id if row is not None else secrets.token_urlsafe(12)
            values = _fresh(ident, address, components, now, row.confirmed_at or now if row is not None else now)
            if row is None:
                connection.execute(insert(subscribers).values(values))
            else:
                connection.execute(update(subscribers).where(subscribers.c.id == ident).values(values))
            return _subscriber(connection.execute(select(subscribers).where(subscribers.c.id == ident)).one())

    def confirm(self, ident: str, now: float) -> Subscriber | None:
        """Its owner says yes. None when nobody (any more) has that id, or the book is full."""
        with self._transaction() as connection:
            row = connection.execute(select(subscribers).where(subscribers.c.id == ident)).first()
            if row is None or (row.confirmed_at is None and _many(connection, True) >= self._most):
                return None
            if row.confirmed_at is None:
                connection.execute(update(subscribers).where(subscribers.c.id == ident).values(confirmed_at=now))
            return _subscriber(connection.execute(select(subscribers).where(subscribers.c.id == ident)).one())

    def find(self, ident: str) -> Subscriber | None:
        with self._transaction() as connection:
            row = connection.execute(select(subscribers).where(subscribers.c.id == ident)).first()
        return _subscriber(row) if row is not None else None

    def find_address(self, address: str) -> Subscriber | None:
        with self._transaction() as connection:
            row = connection.execute(select(subscribers).where(subscribers.c.same == comparable(address))).first()
        return _subscriber(row) if row is not None else None

    def forget_unconfirmed(self, now: float) -> None:
        """Who did not say yes in time was never here."""
        with self._transaction() as connection:
            _forget_unconfirmed(connection, now)

    def erase(self, who: str) -> str:
        """Forget a subscriber, by id or address, with every mail to them; the id, "" when there was none."""
        with self._transaction() as connection:
            same = (subscribers.c.id == who) | (subscribers.c.same == comparable(who))
            ident = connection.execute(select(subscribers.c.id).where(same)).scalar()
            if ident is None:
                return ""
            _erase(connection, [ident])
        return str(ident)

    def all(self) -> list[Subscriber]:
        with self._transaction() as connection:
            return [
                _subscriber(row) for row in connection.execute(select(subscribers).order_by(subscribers.c.asked_at))
            ]

    def counts(self) -> dict[str, int]:
        with self._transaction() as connection:
            return {"confirmed": _many(connection, True), "asked": _many(connection, False)}

    # -- mails --

    def fill(self, mailing: str, components: Sequence[str], ordered_at: float) -> None:
        """A mail of ``mailing`` waits for everybody who had confirmed by ``ordered_at`` and wants one of ``components``.
        Again and again the same."""
        wanted = set(components)
        with self._transaction() as connection:
            known = set(connection.scalars(select(mails.c.subscriber).where(mails.c.mailing == mailing)))
            rows = connection.execute(select(subscribers).where(subscribers.c.confirmed_at <= ordered_at))
            those = [one for one in map(_subscriber, rows) if not one.components or wanted.intersection(one.components)]
            fresh = [_waiting(mailing, one.ident) for one in those if one.ident not in known]
            if fresh:
                connection.execute(insert(mails), fresh)

    def due(self, mailing: str, now: float) -> Due | None:
        """The next mail of ``mailing`` that may go."""
        with self._transaction() as connection:
            row = connection.execute(
                select(subscribers, mails.c.tries)
                .join(mails, mails.c.subscriber == subscribers.c.id)
                .where(mails.c.mailing == mailing, mails.c.status == "waiting", mails.c.not_before <= now)
                .order_by(mails.c.not_before, subscribers.c.id)
                .limit(1)
            ).first()
        return Due(mailing, _subscriber(row), row.tries) if row is not None else None

    def take(self, due: Due) -> bool:
        """Claim it, durably. False when somebody else has, or nobody is to get it any more."""
        with self._transaction() as connection:
            found = connection.execute(
                update(mails)
                .where(*_this(due), mails.c.status == "waiting")
                .values(status="sending", tries=due.tries + 1)
            )
        return bool(found.rowcount)

    def ended(self, due: Due, status: str, why: str = "", not_before: float = 0.0, tried: bool = True) -> None:
        """What became of what was taken. ``waiting`` puts it back; ``tried`` False: as if it had never been taken."""
        with self._transaction() as connection:
            connection.execute(
                update(mails)
                .where(*_this(due), mails.c.status == "sending")
                .values(status=status, why=why, not_before=not_before, tries=due.tries + tried)
            )

    def refused(self, ident: str, again: bool) -> bool:
        """Count that the address was refused for good, or with ``again`` False that it was not; True when it was erased."""
        with self._transaction() as connection:
            count = connection.execute(select(subscribers.c.refused).where(subscribers.c.id == ident)).scalar()
            if count is None or (count == 0 and not again):
                return False
            count = count + 1 if again else 0
            if count < REFUSALS:
                connection.execute(update(subscribers).where(subscribers.c.id == ident).values(refused=count))
                return False
            waits = (mails.c.subscriber == ident) & (mails.c.status == "waiting")
            connection.execute(update(mails).where(waits).values(status="dropped"))
            connection.execute(delete(subscribers).where(subscribers.c.id == ident))
            return True

    def left_behind(self) -> int:
        """Claims of a process that is gone: nobody knows how they ended. How many."""
        with self._transaction() as connection:
            found = connection.execute(update(mails).where(mails.c.status == "sending").values(status="in_doubt"))
        return int(found.rowcount)

    def drop(self, mailing: str, why: str, status: str = "dropped") -> None:
        """What still waits of it is not sent."""
        with self._transaction() as connection:
            waits = (mails.c.mailing == mailing) & (mails.c.status == "waiting")
            connection.execute(update(mails).where(waits).values(status=status, why=why))

    def tally(self, mailing: str) -> Mapping[str, int]:
        """Status -> how many mails of it."""
        with self._transaction() as connection:
            rows = connection.execute(
                select(mails.c.status, func.count()).where(mails.c.mailing == mailing).group_by(mails.c.status)
            )
            return Counter({str(status): int(count) for status, count in rows})

    # -- copies --

    def rows(self) -> Rows:
        """All of it, as of one moment."""
        with self._transaction() as connection:
            found: Rows = {}
            for table in _COPIED:
                rows = connection.execute(select(table).order_by(*table.primary_key.columns))
                found[table.name] = [dict(row._mapping) for row in rows]
            known = {row["id"] for row in found[subscribers.name]}  # else somebody erased meanwhile would stay in it
            found[mails.name] = [row for row in found[mails.name] if row["subscriber"] in known]
            return found

    def put(self, rows: Rows) -> bool:
        """Fill the book; False, and nothing is done, when somebody is in it. Mails that waited are in doubt: they may have
        been sent since."""
        with self._transaction() as connection:
            if connection.execute(select(subscribers.c.id)).first() is not None:
                return False
            for table in _COPIED:
                connection.execute(delete(table))
                if rows[table.name]:
                    connection.execute(insert(table), rows[table.name])
            open_ = mails.c.status.in_(("waiting", "sending"))
            connection.execute(update(mails).where(open_).values(status="in_doubt", why="restored from a copy"))
        return True

    def forget(self, mailings: Sequence[str]) -> None:
        """Keep the mails of ``mailings`` only, and of those that were asked for what still waits."""
        with self._transaction() as connection:
            over = (mails.c.mailing == WELCOME) & mails.c.status.not_in(("waiting", "sending"))
            connection.execute(delete(mails).where(over | mails.c.mailing.not_in((*mailings, WELCOME))))


def make(connection: Connection) -> None:
    """The tables and the key, where they are missing. Of several that do so at once the caller lets one in at a time."""
    metadata.create_all(connection)
    if connection.execute(select(keys.c.name).where(keys.c.name == "links")).first() is None:
        connection.execute(insert(keys).values(name="links", key=secrets.token_bytes(32)))


def comparable(address: str) -> str:
    """Mailboxes whose letters differ in case only are taken to be one: hardly any server tells them apart."""
    return address.strip().casefold()


def _forget_unconfirmed(connection: Connection, now: float) -> None:
    forgotten = subscribers.c.confirmed_at.is_(None) & (subscribers.c.asked_at < now - CONFIRM_SECONDS)
    idents = list(connection.scalars(select(subscribers.c.id).where(forgotten)))
    if idents:
        _erase(connection, idents)


def _make_room(connection: Connection) -> None:
    """Whoever asked first had the most time to say yes: a flood keeps nobody out who reads their mail."""
    over = _many(connection, False) - MAX_ASKED + 1
    if over > 0:
        asked = select(subscribers.c.id).where(subscribers.c.confirmed_at.is_(None))
        _erase(connection, list(connection.scalars(asked.order_by(subscribers.c.asked_at).limit(over))))


def _erase(connection: Connection, idents: Sequence[str]) -> None:
    connection.execute(delete(mails).where(mails.c.subscriber.in_(idents)))
    connection.execute(delete(subscribers).where(subscribers.c.id.in_(idents)))


def _this(due: Due) -> tuple[Any, ...]:
    return mails.c.mailing == due.mailing, mails.c.subscriber == due.subscriber.ident


def _many(connection: Connection, confirmed: bool) -> int:
    said = subscribers.c.confirmed_at.is_not(None) if confirmed else subscribers.c.confirmed_at.is_(None)
    return int(connection.execute(select(func.count()).select_from(subscribers).where(said)).scalar_one())


def _fresh(ident: str, address: str, components: Sequence[str], now: float, confirmed: float | None) -> dict[str, Any]:
    return {
        "id": ident, "address": address.strip(), "same": comparable(address), "components": json.dumps(list(components)),
        "confirmed_at": confirmed, "asked_at": now, "asked": 1, "refused": 0,
    }  # fmt: skip


def _waiting(mailing: str, ident: str) -> dict[str, Any]:
    return {"mailing": mailing, "subscriber": ident, "status": "waiting", "tries": 0, "not_before": 0.0, "why": ""}


def _subscriber(row: Row[Any]) -> Subscriber:
    names = tuple(str(one) for one in json.loads(row.components))
    return Subscriber(row.id, row.address, names, row.confirmed_at, row.asked_at, row.refused)
