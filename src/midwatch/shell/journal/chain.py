"""The hash chain, as pure functions over bytes.

Each entry's hash covers the hash before it, its own header and the digests of its two parts: ``facts`` (what was decided;
stays for ever) and ``texts`` (free text; may be erased). Because only digests are chained, erasing a text leaves every
hash as it was. The texts' digest is salted, and the salt goes with the text: nobody can confirm a guess afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
import struct

GENESIS = hashlib.sha256(b"midwatch journal, format 1").digest()
NO_TEXT = b""

_HEADER = struct.Struct(">QdQI")  # seq, at, epoch, event version


def new_salt() -> bytes:
    return secrets.token_bytes(16)


def facts_digest(facts: bytes) -> bytes:
    return hashlib.sha256(b"facts\0" + facts).digest()


def texts_digest(salt: bytes, texts: bytes) -> bytes:
    return hashlib.sha256(b"texts\0" + salt + texts).digest()


def link(
    before: bytes, seq: int, at: float, epoch: int, kind: str, version: int, facts: bytes, texts_digest: bytes
) -> bytes:
    """The hash of one entry. ``before`` is the hash of the entry before it (GENESIS for seq 1); ``texts_digest`` is
    NO_TEXT for an entry without free text."""
    name = kind.encode()
    parts = (
        before,
        _HEADER.pack(seq, at, epoch, version),
        len(name).to_bytes(2, "big") + name,
        facts_digest(facts),
        len(texts_digest).to_bytes(1, "big") + texts_digest,
    )
    return hashlib.sha256(b"".join(parts)).digest()
