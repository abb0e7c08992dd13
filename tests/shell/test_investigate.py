"""A person asks about the past: the causes of what was wrong, or a sentence that helps."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.shell.recording import FAULT_SECONDS, NORMAL_SECONDS, START, write_recording
from tests.shell.test_promise_routes import ask

from midwatch.model.errors import UsageError
from midwatch.shell.config import Settings
from midwatch.shell.ingest.recording import read_recording
from midwatch.shell.inquiry import from_store
from midwatch.shell.investigate import LONGEST_SECONDS, Question, checked, from_recording, nearest, resolve
from midwatch.shell.replay import replay, rfc3339

ONSET = START + NORMAL_SECONDS
END = ONSET + FAULT_SECONDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("recording"))


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """So few requests fail, and so few come, that no detector says anything."""
    return write_recording(tmp_path_factory.mktemp("quiet"), per_second=2, failing=0.05)


def test_it_is_the_diagnosis_of_the_live_incident(folder: Path) -> None:
    (live,) = replay(folder).state.incidents.values()
    found = from_recording(folder, Question(START, END))
    (answer,) = found.answers
    assert answer.detected and answer.onset_at == live.onset_at and answer.symptoms == live.symptoms
    assert [(h.entity, h.kind) for h in answer.hypotheses] == [(h.entity, h.kind) for h in live.hypotheses]
    assert answer.hypotheses[0].probability == pytest.approx(live.hypotheses[0].probability, abs=0.1)
    first = found.as_json()["answers"][0]["hypotheses"][0]
    assert first["entity"] == "service:payment" and first["path"] == ["service:payment", "service:storefront"]
    assert first["evidence"] and first["next_check"] and first["refuted_by"]


def test_without_a_window_it_is_about_all_that_was_recorded(folder: Path) -> None:
    assert from_recording(folder, None).answers == from_recording(folder, Question(START, END)).answers


def test_a_window_before_the_trouble_shows_nothing_of_it(folder: Path) -> None:
    found = from_recording(folder, Question(START + 10, ONSET - 10))
    assert found.answers == () and found.rows > 0


@pytest.mark.parametrize("symptom", ["storefront", "service:storefront", "payment"])
def test_the_incident_that_was_felt_there_is_the_one_that_is_meant(folder: Path, symptom: str) -> None:
    (answer,) = from_recording(folder, Question(START, END, symptom)).answers
    assert answer.detected and answer.hypotheses[0].entity == "service:payment"


def test_a_person_is_believed_where_no_detector_fired(quiet: Path) -> None:
    assert from_recording(quiet, Question(ONSET, END)).answers == ()
    (answer,) = from_recording(quiet, Question(ONSET, END, "storefront")).answers
    assert not answer.detected and answer.onset_at == ONSET
    assert answer.hypotheses and answer.hypotheses[0].entity == "service:payment"
    assert sum(h.probability for h in answer.hypotheses) + answer.unknown == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("since", "until", "symptom", "said", "hint"),
    [
        (END + 600, END + 900, "", "no telemetry between", f"telemetry begins at .*ends at {rfc3339(END)[:15]}"),
        (START - 900, START - 600, "", "no telemetry between", f"telemetry begins at {rfc3339(START)[:18]}"),
        (START, END, "paymnet", "nothing called 'paymnet'", "did you mean payment?"),
        (START, END, "xyzzy", "nothing called 'xyzzy'", "seen: payment, storefront"),
        (START + 3, ONSET - 5, "storefront", "no normal time before", "a --from some minutes later"),
        (END, START, "", "ends before it begins", "--from"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_says_what_could_be(
    folder: Path, since: float, until: float, symptom: str, said: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        from_recording(folder, Question(since, until, symptom))
    assert re.search(hint, caught.value.hint)


def test_a_window_of_days_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="longer than 6 hours"):
        checked(Question(0.0, LONGEST_SECONDS + 1))


def test_names_as_people_type_them() -> None:
    known = ["service:payment", "endpoint:payment/pay", "instance:payment-1", "database:orders", "service:orders"]
    assert resolve("orders", known) == "service:orders" and resolve("database:orders", known) == "database:orders"
    assert resolve("payment-1", known) == "instance:payment-1"
    assert nearest("service:pamyent", known) == ("payment",) and nearest("payment-2", ["instance:payment-1"])
    assert nearest("zzz", known) == ()


class _Stored:
    """A store that holds what was recorded."""

    database = "midwatch"

    def __init__(self, folder: Path) -> None:
        self._batches = list(read_recording(folder))
        self.asked: list[tuple[float, float]] = []

    async def query(self, _: str) -> list[dict[str, Any]]:
        first, last = self._batches[0][0], self._batches[-1][0]
        return [{"n": 9, "oldest": first * 1e3, "newest": last * 1e3}, {"n": 0, "oldest": 0, "newest": 0}]

    async def rows_since(self, since: float, until: float, _: float) -> AsyncIterator[tuple[float, Any]]:
        self.asked.append((since, until))
        for at, batch in self._batches:
            if since <= at < until:
                yield at, batch


def test_the_store_is_asked_for_normal_time_too_and_gives_the_same_answer(folder: Path) -> None:
    store: Any = _Stored(folder)
    found = asyncio.run(from_store(store, Question(ONSET, END + 1), causes_seen={}))
    assert store.asked[0][0] < ONSET - NORMAL_SECONDS + 2, "only the window itself was read"
    assert [h.entity for h in found.answers[0].hypotheses] == [
        h.entity for h in from_recording(folder, Question(ONSET, END + 1)).answers[0].hypotheses
    ]


def test_a_store_without_that_time_says_what_it_holds(folder: Path) -> None:
    store: Any = _Stored(folder)
    with pytest.raises(UsageError, match="the store holds no telemetry between") as caught:
        asyncio.run(from_store(store, Question(END + 600, END + 900), causes_seen={}))
    assert caught.value.hint.startswith(f"it holds {rfc3339(START)[:16]}")


def test_a_watch_without_a_store_says_so(settings: Settings) -> None:
    (answer,) = ask(settings, "/../investigate?since=0&until=60")
    assert answer.status_code == 400 and "keeps no telemetry" in answer.text
