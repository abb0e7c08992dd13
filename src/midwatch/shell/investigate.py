"""Investigate: what midwatch makes of a stretch of the past, when a person asks.

The recorded or stored telemetry goes through the same loop as in production, with everything in rehearsal; what the loop
would have asked ``diagnose`` is asked here. Where the loop saw nothing and a person names a symptom, the trouble is taken
to begin when the person says.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from midwatch.core.diagnose import stage
from midwatch.core.memory import Memory
from midwatch.core.turn import Turn
from midwatch.model.entity import is_edge, kind_of, name_of, split_edge
from midwatch.model.errors import UsageError
from midwatch.model.findings import Finding, Hypothesis, Incident
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.model.world import Change, World
from midwatch.shell.queries import plain
from midwatch.shell.replay import Progress, rehearsal_policy, replay_batches, rfc3339

if TYPE_CHECKING:
    from midwatch.shell.ingest.rows import Batch

LEAD_SECONDS: Final = 420.0  # of normal time before the window, for detectors and diagnosis to compare with
LONGEST_SECONDS: Final = 6 * 3600.0
BAD_SECONDS: Final = 240.0  # a diagnosis looks at so much of the bad time
EARLY_SECONDS: Final = 60.0  # a person's "it began at" may be so late
ASKED: Final = "asked"  # the id of the incident that a person's question makes


@dataclass(frozen=True)
class Question:
    """Unix seconds. ``symptom`` is an entity key or a bare name, "" when nobody says where it was felt."""

    since_at: float
    until_at: float
    symptom: str = ""


@dataclass(frozen=True)
class Answer:
    """One incident and its causes. ``detected`` is False when only the person's word says that something was wrong."""

    detected: bool
    onset_at: float
    symptoms: tuple[str, ...]
    title: str
    hypotheses: tuple[Hypothesis, ...]
    unknown: float
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inquiry:
    """Everything that came of a question. No ``answers``: nothing was wrong that users feel, as far as midwatch sees."""

    question: Question
    rows: int
    answers: tuple[Answer, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Times in RFC 3339, entities as keys, the most probable hypothesis first; the contract of ``--json``."""
        asked = self.question
        return {
            "from": rfc3339(asked.since_at),
            "to": rfc3339(asked.until_at),
            "symptom": asked.symptom,
            "rows": self.rows,
            "answers": [
                {
                    "detected": one.detected,
                    "onset_at": rfc3339(one.onset_at),
                    "title": one.title,
                    "symptoms": list(one.symptoms),
                    "hypotheses": plain(one.hypotheses),
                    "unknown": round(one.unknown, 6),
                    "missing": list(one.missing),
                }
                for one in self.answers
            ],
            "findings": [
                {"kind": f.kind, "entity": f.entity, "since_at": rfc3339(f.since_at), "detail": f.detail}
                for f in self.findings
            ],
            "notes": list(self.notes),
        }


@dataclass
class _Onlooker:
    """Keeps, while the loop goes on, what a diagnosis will be asked about afterwards: one World per incident."""

    question: Question
    known: dict[str, None] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)
    seen: dict[str, tuple[State, World]] = field(default_factory=dict)

    def look(self, state: State, world: World) -> None:
        self.known.update(dict.fromkeys(world.entities))
        self.findings |= state.findings
        for one in state.open_incidents:
            young = world.now - one.opened_at <= stage.WATCH_SECONDS and one.calm_since_at is None
            if young or one.id not in self.seen:
                self.seen[one.id] = (state, world)
        asked = self.question
        if ASKED not in self.seen or world.now <= min(asked.until_at, asked.since_at + BAD_SECONDS):
            self.seen[ASKED] = (state, world)


def investigate(
    batches: Iterable[tuple[float, Batch]],
    question: Question,
    *,
    policy: Policy | None = None,
    changes: Sequence[Change] = (),
    causes_seen: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    where: str = "the recording",
) -> Inquiry:
    """Answer ``question`` from ``batches`` (in time order, ``LEAD_SECONDS`` more than the window if there is so much).

    Raises UsageError: no telemetry in the window, no normal time before it, no such entity.
    """
    checked(question)
    inside = _Inside(batches, question)
    onlooker = _Onlooker(question)
    try:
        report = replay_batches(
            inside, policy or rehearsal_policy(), changes=changes, progress=progress, name=where, seen=onlooker.look
        )
    except UsageError:
        if inside.rows:
            raise
    if not inside.rows:
        between = f"between {rfc3339(question.since_at)} and {rfc3339(question.until_at)}"
        raise UsageError(f"{where} holds no telemetry {between}", hint=inside.hint())
    symptom = resolve(question.symptom, onlooker.known) if question.symptom else ""
    found = [one for one in report.state.incidents.values() if _overlaps(one, question)]
    if symptom:
        mine = [one for one in found if _felt_at(one, symptom, onlooker.seen[one.id][1])]
        found = mine or [_asked(question, symptom, onlooker)]
    answers = [_answer(one, onlooker, causes_seen or {}) for one in found]
    notes = list(report.notes)
    if symptom and found[0].id == ASKED and (answers[0] is None):
        start_at = onlooker.seen[ASKED][1].series.start_at
        raise UsageError(
            f"there is no normal time before {rfc3339(question.since_at)} to compare with",
            hint=f"telemetry begins at {rfc3339(max(start_at, inside.first_at))}: a --from some minutes later",
        )
    others = tuple(f for f in onlooker.findings.values() if question.since_at <= f.since_at <= question.until_at)
    return Inquiry(question, inside.rows, tuple(a for a in answers if a is not None), others, tuple(notes))


def checked(question: Question) -> Question:
    """Raises UsageError for a window that is none."""
    if not question.since_at < question.until_at:
        raise UsageError("the window ends before it begins", hint="--from 30m --to now, or two moments in order")
    if question.until_at - question.since_at > LONGEST_SECONDS:
        raise UsageError(
            f"that window is longer than {LONGEST_SECONDS / 3600:g} hours",
            hint="a cause shows when the trouble begins: ask for the hour around that",
        )
    return question


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Up to three bare names of ``known`` (entity keys) that ``name`` may have meant; services before others."""
    names: dict[str, None] = {}
    for key in sorted((k for k in known if not is_edge(k)), key=lambda k: (kind_of(k) != "service", k)):
        names.setdefault(name_of(key))
    wanted = name_of(name) if ":" in name else name
    services = {name_of(key) for key in known if kind_of(key) == "service"}
    return tuple(difflib.get_close_matches(wanted, [n for n in names if n in services], n=3)) or tuple(
        difflib.get_close_matches(wanted, list(names), n=3)
    )


def resolve(name: str, known: Iterable[str]) -> str:
    """The entity key that a person means by ``name``: a key, or a bare name (a service before others). Raises UsageError
    with the nearest names."""
    keys = list(known)
    if name in keys:
        return name
    same = sorted(
        (k for k in keys if not is_edge(k) and name_of(k) == name), key=lambda k: (kind_of(k) != "service", k)
    )
    if same:
        return same[0]
    close = nearest(name, keys)
    services = sorted(name_of(key) for key in keys if kind_of(key) == "service")
    hint = f"did you mean {' or '.join(close)}?" if close else "seen: " + ", ".join(services[:20])
    raise UsageError(f"nothing called {name!r} was seen in that window", hint=hint)


class _Inside:
    """Passes on what the question needs of ``batches``, and remembers what there was."""

    def __init__(self, batches: Iterable[tuple[float, Batch]], question: Question) -> None:
        self._batches, self._question = batches, question
        self.rows = 0
        self.first_at = self.last_at = 0.0
        self.ever = False

    def __iter__(self) -> Any:
        asked = self._question
        for at, batch in self._batches:
            if not len(batch):
                continue
            if not self.ever:
                self.ever, self.first_at = True, at
            if at > asked.until_at:
                return
            self.last_at = at
            if at >= asked.since_at - LEAD_SECONDS:
                self.rows += len(batch) if at >= asked.since_at else 0
                yield at, batch

    def hint(self) -> str:
        if not self.ever:
            return "is anything sending? midwatch status says what arrives"
        until = f", ends at {rfc3339(self.last_at)}" if self.last_at and self.last_at < self._question.since_at else ""
        return f"telemetry begins at {rfc3339(self.first_at)}{until}"


def _overlaps(incident: Incident, asked: Question) -> bool:
    over_at = incident.resolved_at if incident.resolved_at is not None else math.inf
    return incident.onset_at <= asked.until_at and over_at >= asked.since_at


def _felt_at(incident: Incident, symptom: str, world: World) -> bool:
    """Whether the incident is about ``symptom``: it, a call from or to it, or what is connected with it through calls."""
    ends = {end for key in incident.symptoms for end in (split_edge(key) if is_edge(key) else (key,))}
    mine = world.components.get(symptom)
    return symptom in ends or (mine is not None and any(world.components.get(end) == mine for end in ends))


def _asked(question: Question, symptom: str, onlooker: _Onlooker) -> Incident:
    """The incident that a person says there was, though the loop saw none."""
    since = question.since_at
    near = tuple(f.id for f in onlooker.findings.values() if since - EARLY_SECONDS <= f.since_at <= since + BAD_SECONDS)
    return Incident(
        ASKED, since, since, 4, f"Something wrong at {name_of(symptom)}", findings=near, symptoms=(symptom,)
    )


def _answer(incident: Incident, onlooker: _Onlooker, causes_seen: Mapping[str, int]) -> Answer | None:
    state, world = onlooker.seen[incident.id]
    held = replace(state, causes_seen=dict(causes_seen), findings={**onlooker.findings, **state.findings})
    ranked = stage.investigate(Turn(held, Memory(), world, world.now), state.incidents.get(incident.id, incident))
    if ranked is None:
        return None
    hypotheses, unknown = ranked
    missing = tuple(f"{name_of(gap.subject)}: {gap.reason}" for gap in world.gaps)
    return Answer(
        incident.id != ASKED, incident.onset_at, incident.symptoms, incident.title, hypotheses, unknown, missing
    )


def from_recording(
    folder: Path, question: Question | None, symptom: str = "", progress: Progress | None = None
) -> Inquiry:
    """From a folder with recorded OTLP files; without a ``question`` about all of it. Raises UsageError, IngestError."""
    from midwatch.shell.ingest.recording import Problems, read_changes, read_recording

    _is_folder(folder)
    problems = Problems()
    changes = read_changes(folder, problems)
    if question is None:
        question = filled(folder, None, None, symptom)
    found = investigate(
        read_recording(folder, problems), question, changes=changes, progress=progress, where=str(folder)
    )
    if problems.bad_lines:
        said = f"{problems.bad_lines} lines could not be read: {'; '.join(problems.shown[:3])}"
        return Inquiry(found.question, found.rows, found.answers, found.findings, (*found.notes, said))
    return found


def filled(folder: Path, since_at: float | None, until_at: float | None, symptom: str = "") -> Question:
    """The question with what nobody said (None): a recording is asked about from its first row, and to its last. Raises
    UsageError."""
    from midwatch.shell.ingest.recording import Problems, read_recording

    _is_folder(folder)
    if since_at is not None and until_at is not None:
        return Question(since_at, until_at, symptom)
    times = [at for at, batch in read_recording(folder, Problems()) if len(batch)] or [0.0]
    since = times[0] if since_at is None else since_at
    until = times[-1] + 1.0 if until_at is None else until_at
    if since >= until:
        between = f"{folder} holds {rfc3339(times[0])} to {rfc3339(times[-1])}"
        raise UsageError("the recording has nothing in that window", hint=between)
    return Question(since, until, symptom)


def _is_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="name the folder that holds traces*.jsonl and the like")
