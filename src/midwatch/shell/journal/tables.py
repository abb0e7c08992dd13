"""The journal's tables, and the triggers that keep the chain append-only.

The triggers stop accidents and honest bugs; what somebody with write access to the file does on purpose, ``verify`` finds.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, Table, Text

FORMAT = 1

metadata = MetaData()

chain = Table(
    "chain",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("texts_digest", LargeBinary, nullable=False),  # empty: this entry has no free text
    Column("hash", LargeBinary, nullable=False),
)

texts = Table(
    "texts",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("salt", LargeBinary),  # both NULL: erased
    Column("texts", LargeBinary),
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("chain_hash", LargeBinary, nullable=False),
    Column("fingerprint", Text, nullable=False),  # of the code that folded it
    Column("digest", LargeBinary, nullable=False),
    Column("state", LargeBinary, nullable=False),
)

lease = Table(
    "lease",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("epoch", Integer, nullable=False),
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
