"""What PostgreSQL has beside the journal's own tables: triggers that keep the chain append-only, an inbox into which every
replica may write, and a row for each replica that is there.

All of it lies in one schema of its own, so that a database may hold other things too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Connection, Float, Identity, LargeBinary, MetaData, Table, Text, text

from midwatch.model.errors import JournalError
from midwatch.shell.journal.tables import FORMAT, metadata

_beside = MetaData()

inbox = Table(
    "inbox",
    _beside,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", Float, nullable=False),  # on the database's clock
    Column("letter", LargeBinary, nullable=False),
)

replicas = Table(
    "replicas",
    _beside,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),  # leader or standby
    Column("seen_at", Float, nullable=False),  # on the database's clock
    Column("seq", BigInteger, nullable=False),  # how far it has read the journal
    Column("address", Text, nullable=False),  # of its console
)

_TRIGGERS: Final = """
CREATE OR REPLACE FUNCTION journal_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
CREATE OR REPLACE FUNCTION journal_text_can_only_be_erased() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN
    IF TG_OP = 'UPDATE' AND NEW.texts IS NULL AND NEW.salt IS NULL AND NEW.seq = OLD.seq THEN RETURN NEW; END IF;
    RAISE EXCEPTION 'a text of the journal can only be erased';
  END $$;
CREATE OR REPLACE TRIGGER chain_no_change BEFORE UPDATE OR DELETE ON chain
  FOR EACH ROW EXECUTE FUNCTION journal_is_append_only();
CREATE OR REPLACE TRIGGER chain_no_truncate BEFORE TRUNCATE ON chain EXECUTE FUNCTION journal_is_append_only();
CREATE OR REPLACE TRIGGER texts_only_erased BEFORE UPDATE OR DELETE ON texts
  FOR EACH ROW EXECUTE FUNCTION journal_text_can_only_be_erased();
CREATE OR REPLACE TRIGGER texts_no_truncate BEFORE TRUNCATE ON texts EXECUTE FUNCTION journal_is_append_only();
"""
_ONE_AT_A_TIME: Final = 0x6D696477  # "midw": two replicas that start together make the tables once


def create_tables(connection: Connection, schema: str) -> None:
    """Whatever is not there yet. Raises JournalError for a journal of another format."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    if connection.execute(text("SELECT to_regclass('format')")).scalar() is None:
        connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
        metadata.create_all(connection)
        _beside.create_all(connection)
        connection.exec_driver_sql(_TRIGGERS)
        connection.execute(text("CREATE TABLE format (version integer NOT NULL)"))
        connection.execute(text("INSERT INTO format VALUES (:version)"), {"version": FORMAT})
    check_format(connection)


def check_format(connection: Connection) -> None:
    """Raises JournalError when there is no journal, or one of another format."""
    if connection.execute(text("SELECT to_regclass('format')")).scalar() is None:
        raise JournalError("there is no journal in that database", hint="midwatch up makes one")
    found = connection.execute(text("SELECT version FROM format")).scalar_one()
    if found != FORMAT:
        raise JournalError(f"the journal is not of format {FORMAT} (it says {found})", hint="upgrade this midwatch")
