"""The tables of the subscribers' book, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text

metadata: Final = MetaData()

subscribers = Table(
    "subscribers",
    metadata,
    Column("id", Text, primary_key=True),  # random: it is all that links and the journal hold
    Column("address", Text, nullable=False),
    Column("same", Text, nullable=False, unique=True),  # the address as it is compared
    Column("components", Text, nullable=False),  # JSON: a list of names, empty for all
    Column("confirmed_at", Float),  # NULL: asked, and not confirmed yet
    Column("asked_at", Float, nullable=False),  # when a mail was last asked for
    Column("asked", Integer, nullable=False),  # times within a day before that
    Column("refused", Integer, nullable=False),  # mailings on end that its mail server refused for good
)

mails = Table(
    "subscriber_mails",
    metadata,
    Column("mailing", Text, primary_key=True),  # of the journal, or WELCOME
    Column("subscriber", Text, primary_key=True),
    Column("status", Text, nullable=False),  # waiting, sending, sent, failed, in_doubt, dropped
    Column("tries", Integer, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("why", Text, nullable=False),
    Index("subscriber_mails_due", "status", "not_before"),
)

keys = Table(
    "subscriber_keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
)

WELCOME: Final = "welcome"
"""The mailing of mails that were asked for with the form."""
