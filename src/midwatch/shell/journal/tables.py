"""The journal's tables, the same in SQLite and PostgreSQL, and the triggers that keep the chain append-only in SQLite (those
of PostgreSQL are in ``postgres_tables.py``).

The triggers stop accidents and honest bugs; what somebody with write access to the file does on purpose, ``verify`` finds.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, MetaData, Table, Text

FORMAT = 1

# SQLite's integers have 64 bits whatever they are called, and only INTEGER PRIMARY KEY is its row id.
_Long = Integer().with_variant(BigInteger, "postgresql")

metadata = MetaData()

chain = Table(
    "chain",
    metadata,
    Column("seq", _Long, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("epoch", _Long, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("texts_digest", LargeBinary, nullable=False),  # empty: this entry has no free text
    Column("hash", LargeBinary, nullable=False),
)

texts = Table(
    "texts",
    metadata,
    Column("seq", _Long, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary),  # both NULL: erased
    Column("texts", LargeBinary),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("seq", _Long, primary_key=True, autoincrement=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the code that folded it
    Column("digest", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("epoch", _Long, nullable=False),
    Column("holder", Text, nullable=False),  # JSON; "" once released
    Column("expires_at", Float, nullable=False),
    Column("expires_monotonic", Float, nullable=False),
)

TRIGGERS = (
    """CREATE TRIGGER IF NOT EXISTS chain_no_update BEFORE UPDATE ON chain
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS chain_no_delete BEFORE DELETE ON chain
       BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS texts_no_rewrite BEFORE UPDATE ON texts
       WHEN NEW.texts IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.seq <> OLD.seq
       BEGIN SELECT RAISE(ABORT, 'a text of the journal can only be erased'); END""",
    """CREATE TRIGGER IF NOT EXISTS texts_no_delete BEFORE DELETE ON texts
       BEGIN SELECT RAISE(ABORT, 'a text of the journal can only be erased'); END""",
)
