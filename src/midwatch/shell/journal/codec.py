"""Events to bytes and back, for ever.

An entry has ``facts`` (the event in MessagePack, its free text blanked) and ``texts`` (the blanked strings, in order), so
that people's words and log lines can be erased without losing a decision. MessagePack, not JSON: NaN and infinity are
values here ("no data", "no limit"). Kind and version stand beside the bytes, because defaults (the version among them)
are not written out.

Old journals stay readable: a new field with a default needs nothing; any other change raises the event's ``v`` and adds a
step to ``UPGRADES``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from midwatch import model
from midwatch.model.errors import JournalError
from midwatch.model.events import Event
from midwatch.model.state import State

KINDS: dict[str, Any] = {str(kind.__struct_config__.tag): kind for kind in get_args(Event)}
VERSIONS: dict[str, int] = {tag: int(kind.__struct_defaults__[-1]) for tag, kind in KINDS.items()}

# Free text that a person wrote, or that quotes a log line or a sender: paths into the event ("*" walks a tuple). A path may
# be added, last among those of its kind: entries from before have that text in their facts, and say it all the same.
ERASABLE: dict[str, tuple[tuple[str, ...], ...]] = {
    "command_given": (("note",),),
    "change_seen": (("change", "summary"),),
    "cause_ranked": (("hypotheses", "*", "evidence", "*", "text"),),
    "incident_rated": (("reason",),),
    "update_written": (("text",),),
    "postmortem_written": (("markdown",),),
    "acknowledgement_expired": (("why",),),
    "escalation_started": (("why",),),
    "action_ended": (("outcome", "result"),),
    "page_ordered": (("subject",), ("text",)),
    "incident_merged": (("why",),),
    "incident_resolved": (("why",),),
    "incident_split": (("why",),),
    "decision_made": (("text",),),
    "task_set": (("what",),),
    "alerts_received": (("alerts", "*", "summary"), ("alerts", "*", "page_lines", "*")),
    "finding_opened": (("finding", "detail"), ("finding", "page_lines", "*")),
    "alert_noted": (("text",),),
    "silence_set": (("silence", "reason"),),
    "item_opened": (("item", "what"),),
    "item_closed": (("why",),),
    "override_set": (("override", "reason"),),
    "action_dropped": (("why",),),
    "autonomy_changed": (("why",),),
    "budget_adjusted": (("adjustment", "reason"),),
    "adjustment_withdrawn": (("reason",),),
    "text_erased": (("why",),),
}
ERASED = "[erased]"

# (kind, version) -> what turns that version's fields into the next one's. Applied until the current version is reached.
UPGRADES: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}

_LARGE = 256 * 1024
_ZLIB = b"\x78"
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_texts: msgspec.msgpack.Decoder[list[str]] = msgspec.msgpack.Decoder(list[str])
_state: msgspec.msgpack.Decoder[State] = msgspec.msgpack.Decoder(State)


@dataclass(frozen=True, slots=True)
class Encoded:
    """``texts`` is empty when the event holds no free text."""

    kind: str
    version: int
    facts: bytes
    texts: bytes


def kind_of(event: Event) -> str:
    """As the journal calls it."""
    return str(type(event).__struct_config__.tag)


def encode(event: Event) -> Encoded:
    kind = kind_of(event)
    taken: list[str] = []

    def take(text: str) -> str:
        taken.append(text)
        return ""

    blank: Any = event
    for path in ERASABLE.get(kind, ()):
        blank = _walk(blank, path, take)
    texts = _encoder.encode(taken) if any(taken) else b""
    return Encoded(kind, event.v, _encoder.encode(blank), texts)


def decode(kind: str, version: int, facts: bytes, texts: bytes | None) -> Event:
    """The event of one entry; ``texts`` is None when they were erased (each then reads ``[erased]``). Raises
    JournalError."""
    if kind not in KINDS or version > VERSIONS[kind]:
        raise JournalError(
            f"the journal holds {kind!r} version {version}, which this midwatch does not know",
            hint="it was written by a newer midwatch: upgrade this one",
        )
    try:
        event: Any = _decoder.decode(facts) if version == VERSIONS[kind] else _upgraded(kind, version, facts)
        if texts != b"":
            strings = iter(_texts.decode(texts)) if texts is not None else _for_ever(ERASED)
            for path in ERASABLE.get(kind, ()):
                event = _walk(event, path, lambda kept: next(strings, kept))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError(f"cannot read a {kind}: {error}", hint="run `midwatch journal verify`") from error
    return event  # type: ignore[no-any-return]


def texts_of(stored: bytes | None) -> list[str]:
    """The free texts of one entry; none where there are none, or they were erased. Raises JournalError."""
    try:
        return _texts.decode(stored) if stored else []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalError(f"cannot read a text: {error}", hint="run `midwatch journal verify`") from error


def _upgraded(kind: str, version: int, facts: bytes) -> Event:
    fields: dict[str, Any] = msgspec.msgpack.decode(facts)
    for old in range(version, VERSIONS[kind]):
        fields = UPGRADES[kind, old](fields)
    return msgspec.convert({**fields, "event": kind, "v": VERSIONS[kind]}, Event)  # type: ignore[no-any-return]


def _for_ever(text: str) -> Iterator[str]:
    while True:
        yield text


def _walk(value: Any, path: tuple[str, ...], change: Callable[[str], str]) -> Any:
    """``value`` with ``change`` applied to every string that ``path`` leads to."""
    if not path:
        return change(value)
    if path[0] == "*":
        return tuple(_walk(one, path[1:], change) for one in value)
    return replace(value, **{path[0]: _walk(getattr(value, path[0]), path[1:], change)})


def encode_state(state: State) -> bytes:
    """A large one is compressed: a hundred thousand alerts say much the same, and what is written holds up the journal."""
    plain = _encoder.encode(state)
    return plain if len(plain) < _LARGE else zlib.compress(plain, 1)


def decode_state(blob: bytes) -> State:
    """Raises msgspec.MsgspecError."""
    try:  # zlib's first byte is no beginning of a state in MessagePack
        return _state.decode(zlib.decompress(blob) if blob[:1] == _ZLIB else blob)
    except zlib.error as error:
        raise msgspec.DecodeError(f"not a state: {error}") from error


@lru_cache(maxsize=1)
def fold_fingerprint() -> str:
    """Names the code that folds. A snapshot is a cache made by one such code; another one folds from the start."""
    return fingerprint(Path(model.__file__).parent)


def fingerprint(folder: Path) -> str:
    """Names the Python code in ``folder``, that of its subfolders included."""
    digest = sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()
