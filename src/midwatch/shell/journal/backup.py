"""A copy of the journal in a folder elsewhere: appended to, never rewritten, and checked against the hash chain entry by
entry, when it is made and when it is restored.

Files are named by their first entry and hold one MessagePack array per entry. A process that dies while it writes leaves a
torn tail, which the next one cuts off. The one thing that changes a file afterwards is the erasing of a text: then the
file is written anew without it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Connection, insert

from midwatch.model.errors import JournalError
from midwatch.shell.journal import Head, Verification
from midwatch.shell.journal.chain import GENESIS
from midwatch.shell.journal.reader import SqlReader, problem
from midwatch.shell.journal.tables import chain, lease, texts

ENTRIES_PER_FILE: Final = 5000
MAX_BYTES_OF_ENTRY: Final = 64 * 1024 * 1024
SUFFIX: Final = ".entries"
ERASED: Final = "erased"  # names the entries whose text this copy no longer has


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One row of ``chain`` with its text: ``salt`` and ``texts`` are None when it has none, or when it was erased."""

    seq: int
    at: float
    epoch: int
    kind: str
    version: int
    facts: bytes
    texts_digest: bytes
    hash: bytes
    salt: bytes | None
    texts: bytes | None

    @property
    def texts_seq(self) -> int | None:
        return self.seq


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


@dataclass
class Backup:
    """The copy in ``folder`` (made when it is not there). Raises JournalError when it cannot be read or does not hold."""

    folder: Path

    def __post_init__(self) -> None:
        with said(f"open the backup in {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file: int | None = None
            self._in_file = 0
            self._pending = bytearray()
            self.head = self._mend()

    def take(self, journal: SqlReader) -> int:
        """Copy what is new; the number of entries. Each is on disk when this returns. Raises JournalError."""
        before = self.head
        if before.seq and not journal.verify_at(before):
            raise JournalError(
                f"{self.folder} is a copy of another journal, or this one was rewritten: its entry {before.seq} differs",
                hint="keep that copy, run `midwatch journal verify`, and back up to another folder",
            )
        with said(f"write the backup in {self.folder}"):
            for row in journal.rows(before.seq):
                if why := problem(row, bytes.fromhex(self.head.hash), self.head.seq + 1):
                    raise JournalError(
                        f"entry {self.head.seq + 1} was not copied: {why}", hint="midwatch journal verify"
                    )
                self._write(Entry(*(getattr(row, name) for name in Entry.__struct_fields__)))
            self._flush()
            self._erase(journal.erased())
        return self.head.seq - before.seq

    # -- the newest file, open for appending --

    def _write(self, entry: Entry) -> None:
        if self._file is None or self._in_file >= ENTRIES_PER_FILE:
            self._flush()
            path = self.folder / f"{entry.seq:012d}{SUFFIX}"
            self._file, self._in_file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 0
            _sync_folder(self.folder)
        self._pending += _framed(entry)
        self._in_file += 1
        self.head = Head(entry.seq, entry.hash.hex(), entry.at)
        if len(self._pending) > 1 << 20:
            self._flush(keep=True)

    def _flush(self, keep: bool = False) -> None:
        if self._file is None:
            return
        while self._pending:
            del self._pending[: os.write(self._file, self._pending)]
        os.fsync(self._file)
        if not keep and self._in_file >= ENTRIES_PER_FILE:
            os.close(self._file)
            self._file = None

    def _mend(self) -> Head:
        """Cut a torn tail off; where the copy ends."""
        self.close()
        files = files_of(self.folder)
        while files:
            whole, last, count = 0, None, 0
            for entry, end in _entries(files[-1]):
                whole, last, count = end, entry, count + 1
            if whole < files[-1].stat().st_size:
                os.truncate(files[-1], whole)
            if last is None:
                files.pop().unlink()
                continue
            if count < ENTRIES_PER_FILE:
                self._file, self._in_file = os.open(files[-1], os.O_WRONLY | os.O_APPEND), count
            return Head(last.seq, last.hash.hex(), last.at)
        return Head(0, GENESIS.hex(), 0.0)

    # -- erased texts --

    def _erase(self, erased: set[int]) -> None:
        done_file = self.folder / ERASED
        done = set(map(int, done_file.read_text().split())) if done_file.exists() else set()
        if not (new := {seq for seq in erased - done if seq <= self.head.seq}):
            return
        files = files_of(self.folder)
        firsts = [int(path.stem) for path in files]
        for path, first, following in zip(files, firsts, [*firsts[1:], self.head.seq + 1], strict=True):
            if any(first <= seq < following for seq in new):
                body = b"".join(_framed(_without_text(one) if one.seq in new else one) for one, _ in _entries(path))
                replaced(path, body)
        replaced(done_file, " ".join(map(str, sorted(done | new))).encode())
        self.head = self._mend()  # the newest file may be another one now

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def entries_of(folder: Path) -> Iterator[Entry]:
    """Every entry of a copy, each checked to follow from the one before it; a torn tail is where it ends. Raises
    JournalError at the first that does not hold."""
    before, expected = GENESIS, 1
    files = files_of(folder)
    if not files:
        raise JournalError(f"there is no backup in {folder}", hint="midwatch journal backup makes one")
    with said(f"read the backup in {folder}"):
        for path in files:
            for entry, _ in _entries(path):
                if why := problem(entry, before, expected):
                    raise JournalError(f"the backup does not hold at entry {expected} ({path.name}): {why}")
                yield entry
                before, expected = entry.hash, expected + 1
            if path != files[-1] and int(files[files.index(path) + 1].stem) != expected:
                raise JournalError(f"the backup does not hold at entry {expected}: {path.name} ends before it should")


def verify(folder: Path, known: tuple[Head, ...] = ()) -> Verification:
    """As ``JournalReader.verify``, over a copy; but one that ends before a known head holds: it may only lag."""
    remembered = {head.seq: head.hash for head in known if head.seq}
    entries, erased, last = 0, 0, GENESIS.hex()
    try:
        for entry in entries_of(folder):
            if remembered.get(entry.seq, entry.hash.hex()) != entry.hash.hex():
                raise JournalError("its hash is not the one that was remembered elsewhere")
            entries, last = entry.seq, entry.hash.hex()
            erased += bool(entry.texts_digest) and entry.texts is None
    except JournalError as error:
        return Verification(False, entries, last, entries + 1, str(error), erased)
    return Verification(True, entries, last, None, "", erased, max(0, max(remembered, default=0) - entries))


def fill(connection: Connection, folder: Path) -> Head:
    """Write a copy into the empty tables of ``connection``, checking each entry. The next epoch follows the last one's."""
    head, epoch = Head(0, GENESIS.hex(), 0.0), 0
    entries: list[dict[str, object]] = []
    bodies: list[dict[str, object]] = []

    def write() -> None:
        if entries:
            connection.execute(insert(chain), entries)
        if bodies:
            connection.execute(insert(texts), bodies)
        entries.clear()
        bodies.clear()

    for one in entries_of(folder):
        fields = {name: getattr(one, name) for name in Entry.__struct_fields__}
        entries.append({name: value for name, value in fields.items() if name not in ("salt", "texts")})
        if one.texts_digest:
            bodies.append({name: fields[name] for name in ("seq", "salt", "texts")})
        head, epoch = Head(one.seq, one.hash.hex(), one.at), max(epoch, one.epoch)
        if len(entries) >= 500:
            write()
    write()
    released = {"id": 1, "epoch": epoch, "holder": "", "expires_at": 0.0, "expires_monotonic": 0.0}
    connection.execute(insert(lease).values(released))
    return head


def _framed(entry: Entry) -> bytes:
    body = _encoder.encode(entry)
    return len(body).to_bytes(4, "big") + body


def _entries(path: Path) -> Iterator[tuple[Entry, int]]:
    """The whole entries of a file, each with the offset of its end. What comes after them is a torn tail."""
    with path.open("rb") as file:
        while len(size := file.read(4)) == 4:
            length = int.from_bytes(size, "big")
            if length > MAX_BYTES_OF_ENTRY or len(body := file.read(length)) < length:
                return
            try:
                entry = _decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise JournalError(
                    f"the backup is damaged in {path.name}", hint="keep it, and back up anew elsewhere"
                ) from error
            yield entry, file.tell()


def _without_text(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, salt=None, texts=None)


def replaced(path: Path, body: bytes) -> None:
    """The file is as before or holds ``body``, whatever is killed when. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def said(doing: str) -> Iterator[None]:
    """An OSError becomes a JournalError."""
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"cannot {doing}: {error.strerror}", hint="is that disk there, writable, and not full?"
        ) from error
