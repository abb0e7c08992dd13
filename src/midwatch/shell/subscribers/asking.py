"""What the public form may do: ask for mail, say yes to it, leave. Whoever asks learns nothing of who is subscribed.

Bounds: so many questions from one network address, from all of them together, and for one mail address (``book.py``), so
that a form on the open net can neither fill the book nor a stranger's mailbox.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal

from midwatch.model.errors import JournalError
from midwatch.shell.subscribers import links
from midwatch.shell.subscribers.book import Book

MAX_ADDRESS: Final = 254
WINDOW_SECONDS: Final = 600.0
PER_CLIENT: Final = 5  # questions of one network address in a window
PER_WINDOW: Final = 300  # of all together
MAX_CLIENTS: Final = 10_000
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?=[A-Za-z0-9.-]{1,189}$)([A-Za-z0-9-]{1,63}\.)*[A-Za-z0-9-]{1,63}"
)

Answer = Literal["sent", "no address", "slow down", "full", "trouble"]


class Asking:
    """``now`` is unix seconds. ``answers`` counts what became of the questions."""

    def __init__(self, book: Book, key: bytes, components: Sequence[str], now: Callable[[], float]) -> None:
        self._book, self._key, self._now = book, key, now
        self.components = tuple(components)
        self.answers: Counter[str] = Counter()
        self._clients: OrderedDict[str, list[float]] = OrderedDict()
        self._all: list[float] = []

    async def ask(self, address: str, components: Sequence[str], client: str) -> Answer:
        """``client`` is the network address that it comes from. "sent" also when no mail goes out, because one went lately
        or somebody is subscribed: the answer tells nobody which."""
        answer = await self._ask(address.strip(), [one for one in self.components if one in components], client)
        self.answers[answer] += 1
        return answer

    async def _ask(self, address: str, components: list[str], client: str) -> Answer:
        if self._too_many(client):
            return "slow down"
        if not valid(address):
            return "no address"
        try:
            why = await asyncio.to_thread(self._book.ask, address, components, self._now())
        except JournalError:
            return "trouble"
        return "full" if why == "full" else "sent"

    async def known(self, purpose: links.Purpose, token: str) -> bool:
        """Whether the link still leads to something. Raises JournalError."""
        ident = links.read(self._key, purpose, token, self._now())
        return bool(ident) and await asyncio.to_thread(self._book.find, ident) is not None

    async def confirm(self, token: str) -> bool:
        """False for a link that holds no longer, or when the book is full. Raises JournalError."""
        ident = links.read(self._key, "confirm", token, self._now())
        if not ident or await asyncio.to_thread(self._book.confirm, ident, self._now()) is None:
            return False
        self.answers["confirmed"] += 1
        return True

    async def leave(self, token: str) -> bool:
        """Erase whose link it is; True also when that is done already: a link that we signed is obeyed for ever. Raises
        JournalError."""
        ident = links.read(self._key, "leave", token, self._now())
        if not ident:
            return False
        if await asyncio.to_thread(self._book.erase, ident):
            self.answers["left"] += 1
        return True

    def _too_many(self, client: str) -> bool:
        since = self._now() - WINDOW_SECONDS
        who = _network(client)
        mine = [at for at in self._clients.get(who, ()) if at > since]
        self._all = [at for at in self._all if at > since]
        if len(mine) >= PER_CLIENT or len(self._all) >= PER_WINDOW:
            return True
        self._all.append(self._now())
        self._clients[who] = [*mine, self._now()]
        self._clients.move_to_end(who)
        while len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return False


def valid(address: str) -> bool:
    """Whether it looks like an address that mail can be sent to. Only its owner can tell whether it is one."""
    return len(address) <= MAX_ADDRESS and _ADDRESS.fullmatch(address) is not None and ".." not in address


def _network(client: str) -> str:
    """One customer's IPv6 addresses are a /64."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client[:64]
    address = getattr(address, "ipv4_mapped", None) or address  # as a socket that takes both families names IPv4
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
