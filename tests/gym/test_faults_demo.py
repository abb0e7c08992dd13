"""The demo's narrator and its verdict, from a journal made by hand."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from midwatch.gym.demo import Demo, Narrator, Seen
from midwatch.gym.faults.catalog import draw_case, named
from midwatch.gym.faults.shop import shop
from midwatch.model import events as e
from midwatch.model.actions import Action, Outcome, Verdict
from midwatch.model.findings import Hypothesis

RESIZE = Action("ACT-1", "k", "INC-1", "resize-pool", "resize_pool", "service:payment", parameters={"size": 20})
STORY: list[tuple[float, e.Event]] = [
    (1012, e.IncidentOpened("INC-1", "payment fails", 1003, 2, "", (), ())),
    (1012, e.CauseRanked("INC-1", (Hypothesis("service:payment", "pool_exhausted", 0.9),), 0.1)),
    (1012, e.ActionJudged(RESIZE, Verdict("run", "all", "nothing objects"))),
    (1012, e.ActionOrdered("ACT-1")),
    (1013, e.ActionEnded("ACT-1", Outcome("done", "5 -> 20", {"size": 5}))),
    (1045, e.ExpectationJudged("ACT-1", "met", "errors fell")),
    (1110, e.IncidentResolved("INC-1", "calm for 60 s")),
    (1110, e.PostmortemWritten("INC-1", "# Post-mortem")),
]


def test_the_story_is_told_and_judged(tmp_path: Path) -> None:
    out = io.StringIO()
    demo = Demo(tmp_path, 1, Console(file=out, width=200))
    demo.folder = tmp_path
    demo.narrator = Narrator(demo.console, tmp_path)
    truth = draw_case(1, 0, named("pool_exhausted"), shop(), entity="service:payment").truth
    seen = Seen(truth.fault, truth.entity)
    over = [False]
    demo._met_at = {"ACT-1": 1045.0}
    for seq, (at, event) in enumerate(STORY, start=1):
        demo.narrator.tell(e.Recorded(seq, at, event))
        over.append(demo._judge(seen, truth, 1001.0))
    assert over[-1] and not over[-2]
    assert seen.ok and seen.detect_seconds == 11 and seen.fix_seconds == 33
    assert Path(seen.postmortem).read_text() == "# Post-mortem"
    for words in (
        "incident INC-1, SEV2",
        "connection pool exhausted, 90%",
        "resize_pool service:payment size=20",
        "met",
    ):
        assert words in out.getvalue()


def test_late_or_wrong_is_not_ok() -> None:
    good = Seen("x", "y", 10.0, "", True, True, 30.0)
    assert good.ok
    assert not Seen("x", "y", 31.0, "", True, True, 30.0).ok
    assert not Seen("x", "y", -5.0, "", True, True, 30.0).ok
    assert not Seen("x", "y", 10.0, "", False, True, 30.0).ok
    assert not Seen("x", "y", 10.0, "", True, True, 91.0).ok
