"""What subscribers are owed: what the page says, once, the newest only, and no end of what nobody was told to begin."""

from __future__ import annotations

from msgspec.structs import replace as with_fields
from tests.oncall.test_status_page import NOW, SHOP, SLO, TOLD, incident
from tests.slo.test_budget import steady
from tests.slo.turns import state_of

from midwatch.core.oncall.mailings import MAX_MAILINGS, owed
from midwatch.core.oncall.status_page import status_page
from midwatch.model.events import MailingEnded, MailingOrdered, Recorded
from midwatch.model.findings import Incident
from midwatch.model.fold import fold

FRESH = {"hypotheses": (), "diagnosed_at": None}


class Story:
    """One incident as it goes, and the mailings that come of it."""

    def __init__(self) -> None:
        self.state = state_of(SLO)
        self.said: list[MailingOrdered] = []

    def now(self, *incidents: Incident) -> list[str]:
        """The phases that are mailed once the state is this."""
        self.state = with_fields(self.state, incidents={one.id: one for one in incidents})
        page = status_page(self.state, {"checkout": steady(0)}, (SHOP,), NOW)
        found = owed(page, self.state)
        for event in found:
            self.state = fold(self.state, Recorded(self.state.seq + 1, NOW, event))
        self.said += found
        assert owed(page, self.state) == (), "nothing is owed twice"
        return [event.phase for event in found]


def test_each_phase_is_mailed_once_and_in_the_words_of_the_page() -> None:
    story = Story()
    assert story.now(incident(**FRESH)) == ["investigating"]
    assert story.now(incident(**FRESH)) == []
    assert story.now(incident()) == ["identified"]
    assert story.now(incident(mitigated_at=NOW - 60)) == ["monitoring"]
    assert story.now(incident(mitigated_at=NOW - 60, resolved_at=NOW)) == ["resolved"]
    assert story.now(incident(mitigated_at=NOW - 60, resolved_at=NOW)) == []
    heads = [event.subject.partition(":")[0] for event in story.said]
    assert heads == ["Began", "Going on", "Eased", "Over"]
    assert [event.mailing for event in story.said] == [f"INC-7/{n}" for n in (1, 2, 3, 4)]
    assert "secret-billing" not in "".join(event.text + event.subject for event in story.said)
    assert story.said[-1].text.startswith("2026-11-25 10:00 UTC: It is over.")


def test_what_was_owed_at_once_is_one_mailing() -> None:
    assert Story().now(incident(mitigated_at=NOW - 60)) == ["monitoring"]


def test_what_was_over_before_anybody_was_told_is_not_mailed() -> None:
    assert Story().now(incident(resolved_at=NOW - 60)) == []


def test_what_leaves_the_page_is_withdrawn_with_its_reason() -> None:
    smaller, merged = Story(), Story()
    smaller.now(incident())
    assert smaller.now(incident(severity=3)) == ["withdrawn"] and "smaller" in smaller.said[-1].text
    assert smaller.now(incident(severity=3)) == []
    assert smaller.now(incident(severity=2)) == ["identified"], "it is back"
    assert smaller.now(incident(severity=3, resolved_at=NOW)) == ["withdrawn"]
    assert smaller.now(incident(severity=2, resolved_at=NOW)) == [], "back when it was over"
    merged.now(incident())
    assert merged.now(incident(merged_into="INC-1", resolved_at=NOW)) == ["withdrawn"]
    assert "part of another" in merged.said[-1].text and merged.said[-1].components == ("Shop",)


def test_what_only_other_systems_say_is_mailed_once_a_person_rated_it_or_harm_was_measured() -> None:
    story, counted = Story(), Story()
    assert story.now(incident(**TOLD, **FRESH)) == []
    assert story.now(incident(**TOLD, **FRESH, told_severity=2)) == ["investigating"]
    assert story.said[-1].subject == "Began: Possible problem of Shop"
    assert story.said[-1].text.endswith("nothing is known yet of what you may notice.")
    assert story.now(incident(**TOLD, **FRESH)) == ["withdrawn"], "the word was taken back"
    assert counted.now(incident(**TOLD, **FRESH)) == []
    assert counted.now(incident(**{**TOLD, "impact": incident().impact}, **FRESH)) == ["investigating"]
    assert "About 15 % of the requests fail" in counted.said[-1].text


def test_an_incident_that_comes_and_goes_ends_after_some_mailings() -> None:
    story = Story()
    for _ in range(20):
        story.now(incident(severity=2))
        story.now(incident(severity=3))
    assert len(story.said) == MAX_MAILINGS and story.said[-1].phase == "withdrawn"


def test_an_incident_that_no_component_has_any_more_is_left_alone() -> None:
    story = Story()
    story.now(incident())
    assert story.now(incident(symptoms=(), impact=None)) == [], "the settings changed: nobody knows what to say"


def test_the_end_of_a_mailing_is_kept_and_that_of_an_older_one_is_not() -> None:
    story = Story()
    story.now(incident(**FRESH))
    story.now(incident())
    after = fold(story.state, Recorded(9, NOW, MailingEnded("INC-7/1", 3)))
    assert after.mailings["INC-7"].ended is None
    ended = MailingEnded("INC-7/2", 3, 1)
    assert fold(after, Recorded(10, NOW, ended)).mailings["INC-7"].ended == ended
