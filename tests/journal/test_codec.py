"""Events survive the trip, old ones too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.journal.samples import ONE_OF_EACH, plain, same

from midwatch import model
from midwatch.model import events as e
from midwatch.model.adjustments import Adjustment
from midwatch.model.alerts import Alert
from midwatch.model.errors import JournalError
from midwatch.model.findings import Finding
from midwatch.shell.journal import codec

FIXTURE = Path(__file__).parent / "entries_v1.json"


def test_every_kind_has_a_sample_and_a_version() -> None:
    assert {type(one) for one in ONE_OF_EACH} == set(get_args(e.Event))
    for kind in codec.KINDS.values():
        assert kind.__struct_fields__[-1] == "v"


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda one: type(one).__name__)
def test_round_trip(event: Any) -> None:
    encoded = codec.encode(event)
    assert same(codec.decode(encoded.kind, encoded.version, encoded.facts, encoded.texts), event)


def test_erased_text_leaves_the_facts() -> None:
    page = next(one for one in ONE_OF_EACH if isinstance(one, e.PageOrdered))
    encoded = codec.encode(page)
    assert b"elevated" not in encoded.facts and b"payment" not in encoded.facts
    left = codec.decode(encoded.kind, 1, encoded.facts, None)
    assert isinstance(left, e.PageOrdered)
    assert (left.subject, left.text, left.key) == (codec.ERASED, codec.ERASED, page.key)


def test_erasable_paths_exist() -> None:
    """Each path leads to at least one string in the samples: a renamed field is noticed."""
    for event in ONE_OF_EACH:
        kind = event.__struct_config__.tag
        if kind in codec.ERASABLE:
            assert codec.encode(event).texts, kind


def test_what_people_and_senders_wrote_is_in_no_facts() -> None:
    finding = Finding(
        "f|a", "alert", "service:a", 1.0, 1.0, 0.0, "", 0.0, "disk of Zoe full", page_lines=("Host: zoe",)
    )
    said = [
        e.AlertsReceived((Alert("a", "grafana", "firing", 1.0, 1.0, summary="for Zoe", page_lines=("Host: zoe",)),)),
        e.FindingOpened(finding),
        e.ActionDropped("act-1", "Zoe is on it", "ann"),
        e.AutonomyChanged("widen-pool", "ask", "Zoe wants it", "ann"),
        e.BudgetAdjusted(Adjustment("ADJ-1", "exclude", "", 1.0, 2.0, "ann", "the upgrade of Zoe")),
        e.AdjustmentWithdrawn("ADJ-1", "ann", "Zoe says otherwise"),
    ]
    for event in said:
        encoded = codec.encode(event)
        assert b"zoe" not in encoded.facts.lower(), event
        assert codec.decode(encoded.kind, encoded.version, encoded.facts, encoded.texts) == event
        assert b"zoe" not in msgspec.msgpack.encode(codec.decode(encoded.kind, 1, encoded.facts, None)).lower()


def test_a_text_that_could_not_be_erased_yet_is_said_all_the_same() -> None:
    """Entries from before ``page_lines`` was a path hold it in their facts."""
    alert = Alert("a", "grafana", "firing", 1.0, 1.0, summary="for Zoe", page_lines=("Host: zoe",))
    facts = msgspec.msgpack.encode(e.AlertsReceived((msgspec.structs.replace(alert, summary=""),)))
    texts = msgspec.msgpack.encode(["for Zoe"])
    assert codec.decode("alerts_received", 1, facts, texts) == e.AlertsReceived((alert,))


def test_a_snapshot_is_of_the_code_that_folds_wherever_it_lies(tmp_path: Path) -> None:
    copy = shutil.copytree(
        Path(model.__file__).parent, tmp_path / "model", ignore=shutil.ignore_patterns("__pycache__")
    )
    assert codec.fingerprint(copy) == codec.fold_fingerprint()
    for part in ("state.py", "fold/incidents.py"):
        before = codec.fingerprint(copy)
        with (copy / part).open("a") as file:
            file.write("# another one\n")
        assert codec.fingerprint(copy) != before


@given(note=st.text(), target=st.text(), value=st.text())
@settings(max_examples=50, deadline=None)
def test_any_text_round_trips(note: str, target: str, value: str) -> None:
    event = e.CommandGiven("note", "ann", target, value, note)
    encoded = codec.encode(event)
    assert codec.decode(encoded.kind, encoded.version, encoded.facts, encoded.texts) == event


def test_a_newer_event_is_refused_with_a_hint() -> None:
    encoded = codec.encode(e.GapClosed("a"))
    for kind, version in (("gap_closed", 2), ("gap_mended", 1)):
        with pytest.raises(JournalError, match="does not know") as caught:
            codec.decode(kind, version, encoded.facts, b"")
        assert "upgrade" in caught.value.hint


def test_garbage_is_a_journal_error() -> None:
    with pytest.raises(JournalError):
        codec.decode("gap_closed", 1, b"\xff\x00", b"")


def test_an_old_version_is_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if gap_closed had said ``entity`` in version 1 and ``subject`` since version 2."""
    monkeypatch.setitem(codec.VERSIONS, "gap_closed", 2)
    monkeypatch.setitem(codec.UPGRADES, ("gap_closed", 1), lambda old: {"subject": old["entity"]})
    facts = msgspec.msgpack.encode({"event": "gap_closed", "entity": "service:a"})
    assert codec.decode("gap_closed", 1, facts, b"") == e.GapClosed("service:a", v=2)


def test_entries_written_by_version_one_mean_what_they_meant() -> None:
    """Bytes kept from when format 1 was made. If this fails, an event changed without a new version: add a default, or raise
    ``v`` and write an upgrade; never edit the fixture."""
    kept = json.loads(FIXTURE.read_text())
    assert len(kept) == len(ONE_OF_EACH)
    for entry in kept:
        event = codec.decode(
            entry["kind"], entry["version"], bytes.fromhex(entry["facts"]), bytes.fromhex(entry["texts"])
        )
        _assert_covers(plain(event), entry["meaning"], entry["kind"])


def _assert_covers(now: Any, then: Any, where: str) -> None:
    """``now`` says all that ``then`` said; it may say more (fields added since)."""
    if isinstance(then, dict):
        for key, value in then.items():
            assert key in now, f"{where}.{key} is gone"
            _assert_covers(now[key], value, f"{where}.{key}")
    elif isinstance(then, list):
        assert len(now) == len(then), where
        for index, (a, b) in enumerate(zip(now, then, strict=True)):
            _assert_covers(a, b, f"{where}[{index}]")
    else:
        assert same(now, then), where
