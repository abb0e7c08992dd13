"""The subscribers' book beside a copy of the journal: one file, written anew whenever the book has changed, so that who is
erased is gone from the copy at its next run. Its first bytes are the digest of the rest."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from midwatch.model.errors import JournalError
from midwatch.shell.config import Settings
from midwatch.shell.journal.backup import replaced, said
from midwatch.shell.subscribers.book import Book, Rows
from midwatch.shell.subscribers.opened import FILE, open_book

NAME: Final = "subscribers"
_DIGEST_BYTES: Final = 32


@contextlib.contextmanager
def book_of(settings: Settings) -> Iterator[Book | None]:
    """The book that ``settings`` name; None when they name none, or none was made yet. Raises JournalError, ConfigError."""
    wanted = settings.status_page.subscribers
    if wanted is None or not (settings.journal.postgres or (settings.folder / FILE).exists()):
        yield None
        return
    with contextlib.closing(open_book(settings, wanted.max_subscribers)) as book:
        yield book


def take(book: Book, folder: Path) -> int:
    """Make the copy in ``folder`` the book as it is now; how many are in it. Raises JournalError."""
    rows = book.rows()
    body = msgspec.msgpack.encode(rows)
    digest = hashlib.sha256(body).digest()
    path = folder / NAME
    with said(f"write the subscribers' copy in {folder}"):
        before = path.read_bytes()[:_DIGEST_BYTES] if path.exists() else b""
        if before != digest:
            replaced(path, digest + body)
    return len(rows["subscribers"])


def verify(folder: Path) -> int | None:
    """How many are in the copy in ``folder``; None when it has no book. Raises JournalError when it does not hold."""
    rows = _read(folder)
    return None if rows is None else len(rows["subscribers"])


def restore(settings: Settings, folder: Path) -> int | None:
    """Fill the book that ``settings`` name, which must be empty, from the copy in ``folder``; as ``verify``. Raises
    JournalError, ConfigError."""
    rows = _read(folder)
    if rows is None:
        return None
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.closing(open_book(settings, 1)) as book:
        if not book.put(rows):
            raise JournalError("the journal is restored, its subscribers are not: the book has some already")
    return len(rows["subscribers"])


def _read(folder: Path) -> Rows | None:
    path = folder / NAME
    with said(f"read the subscribers' copy in {folder}"):
        if not path.exists():
            return None
        whole = path.read_bytes()
    digest, body = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        raise JournalError(f"the subscribers' copy in {folder} is damaged", hint="back up anew, or remove that file")
    return msgspec.msgpack.decode(body, type=Rows)
