"""The template miner survives any text, forgets no line, and stays within its bounds."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.shell.ingest.builder import WorldBuilder
from midwatch.shell.ingest.folds import folded
from midwatch.shell.ingest.masks import kinds, mask
from midwatch.shell.ingest.rows import Limits
from midwatch.shell.ingest.templates import OTHER, Templates

VOCABULARY = (
    "a the job user failed Started RUNNING id=7 ssh2 10.0.0.1:80 /var/log/x 'q' \"w e\" 0xff {} [] = : , true 3 KB blk_-1 "
    "é 日本 \ud800 \x00 \ue000 <*> \u0661 5ms k=v, sda1 eth0 Jan 12:00:00 (x=1) for invalid"
)
unhurried = settings(deadline=None, max_examples=60)
WORDS = st.sampled_from(VOCABULARY.split(" "))
LINES = st.one_of(st.text(), st.binary().map(lambda raw: raw.decode("utf-8", "replace")), st.lists(WORDS).map(" ".join))


@unhurried
@given(st.lists(LINES, max_size=60))
def test_any_text_has_a_template_and_keeps_it(lines: list[str]) -> None:
    templates = Templates()
    found = [templates.find(line) for line in lines]
    again = [templates.find(line) for line in lines]
    alive = {one.id for one in templates}
    for first, second in zip(found, again, strict=True):
        assert first.now() is second and second.id in alive and second.into is None


@unhurried
@given(st.lists(LINES, max_size=40), st.randoms(use_true_random=False))
def test_no_order_loses_an_id(lines: list[str], chance: Any) -> None:
    """Whatever comes first: every id that was ever given out leads to a living template, and lines that share all but digits
    share it."""
    shuffled = list(lines)
    chance.shuffle(shuffled)
    templates = Templates()
    given_out = [templates.find(line) for line in (*shuffled, *lines)]
    living = {id(one) for one in templates}
    assert all(id(one.now()) in living for one in given_out)
    merged = {part.id for part in templates.merges}
    assert {one.id for one in given_out} <= {one.id for one in templates} | merged


@unhurried
@given(st.lists(LINES, max_size=60))
def test_what_was_saved_comes_back_the_same(lines: list[str]) -> None:
    before, after = Templates(), Templates()
    for line in lines:
        before.find(line)
    after.restore(json.loads(json.dumps(before.saved())))
    assert [before.find(line).id for line in lines] == [after.find(line).id for line in lines]


@unhurried
@given(st.lists(st.tuples(LINES, st.sampled_from("abc")), max_size=80))
def test_bounds_hold_for_all_and_for_each_owner(lines: list[tuple[str, str]]) -> None:
    templates = Templates(limit=8, per_owner=4)
    for line, owner in lines:
        templates.find(line, owner=owner)
        assert len(templates) <= 8
        assert all(sum(one.owner == who for one in templates) <= 4 for who in "abc")


@unhurried
@given(LINES)
def test_masks_see_that_there_is_a_digit_not_which(line: str) -> None:
    """What lets all lines of one shape share a template."""
    zeros = {ord(digit): "0" for digit in "123456789"}
    for piece in line.split():
        assert mask(piece).translate(zeros) == mask(piece.translate(zeros))


def test_memory_does_not_grow_with_lines() -> None:
    """Hostile lines: each of a new shape, and long. What is held is bounded by templates and remembered characters."""

    def flood(templates: Templates, begin: int, count: int) -> int:
        for n in range(begin, begin + count):
            word = "".join(chr(97 + (n >> shift) % 26) for shift in (0, 3, 6, 9, 12))
            templates.find(f"{word} {word[::-1]} happened {'yz' * 400} {n} {word}x", owner=f"s{n % 3}")
        return sum(sys.getsizeof(held) for held in vars(templates).values()) + sum(
            sys.getsizeof(text) for held in (templates._shapes, templates._masked, templates._pieces) for text in held
        )

    templates = Templates(limit=200, per_owner=50)
    early, late = flood(templates, 0, 4000), flood(templates, 4000, 12_000)
    assert late < max(early * 2, 20_000_000) and len(templates) <= 150 and templates.refused > 0
    ours = [one for one in templates if one.owner == "s0"]
    assert len(ours) <= 50


def test_one_loud_service_leaves_room_for_the_others() -> None:
    templates = Templates(limit=100, per_owner=10)
    for n in range(500):
        templates.find(f"{'q' * (n % 50 + 1)} {'r' * (n // 50 + 1)} is odd", owner="loud")
    assert templates.find("lost the lease", owner="calm").id != OTHER


def test_room_is_made_for_templates_that_are_still_seen() -> None:
    templates = Templates(limit=20)
    kept = templates.find("the one that stays")
    for n in range(15):
        templates.find(f"{'w' * (n + 1)} {'v' * (n + 1)} only once")
    before = len(templates)
    templates.keep({kept.id})
    assert before == 16 and len(templates) == 1
    assert templates.find("the one that stays").id == kept.id


def test_a_digit_in_a_name_is_no_value_until_it_changes() -> None:
    templates = Templates()
    text = [templates.find(f"accepted by ssh{n} after {n} tries").text for n in (2, 2, 1)]
    assert text == ["accepted by ssh2 after <*> tries"] * 2 + ["accepted by <*> after <*> tries"]


@pytest.mark.parametrize(
    ("line", "types"),
    [
        ("at 2024-05-01T10:00:00Z", ("time",)),
        ("from 10.0.0.1:443", ("ip", "number")),
        ("https://shop.example/cart?id=7", ("url",)),
        ("ada@example.org", ("email",)),
        ("db-7.internal.example.com", ("host",)),
        ("550e8400-e29b-41d4-a716-446655440000", ("id",)),
        ("/var/lib/x.db", ("path",)),
        ("0xdeadbeef", ("hex",)),
        ("took 15ms", ("duration",)),
        ("sent 12KB", ("size",)),
    ],
)
def test_values_have_types(line: str, types: tuple[str, ...]) -> None:
    assert tuple(kind for piece in line.split() for kind in kinds(mask(piece))) == types


def test_lists_and_records_count_once() -> None:
    assert folded(["values", "\ue001", "\ue001", "\ue001", "end"]) == (
        ["values", "\ue000", "end"],
        {1: "\ue000 \ue000 \ue000"},
    )
    short, long = Templates().find("ids 1 2 3 done"), Templates().find("ids 1 2 3 4 5 done")
    assert short.id == long.id


def test_the_hostile_do_not_slow_it_down() -> None:
    templates = Templates()
    for line in ("1." * 5000, "/a" * 5000, '"' * 9999, "a=" * 5000, "::" * 5000, "-" * 9999, "a.b" * 3000, "\n" * 9999):
        for cut in (199, 1999, len(line)):
            templates.find(line[:cut])
            templates.find(" ".join(line[k : k + 190] for k in range(0, cut, 190)))


def test_patterns_that_become_one_keep_their_counts_and_look_like_no_news(otlp: Any) -> None:
    builder = WorldBuilder(limits=Limits(patterns_per_service=5))
    people = ("ada", "bob", "cyd", "dan", "eve", "fay")
    for at, who in enumerate(people):
        builder.add(
            otlp.batch(
                otlp.log("payment", at, f"cannot charge the card of {who} now", severity=13),
                otlp.log("gateway", at, f"cannot charge the card of {who} now"),
            ),
            otlp.start + at + 0.5,
        )
    logs = builder.world(otlp.start + 30).logs
    by_entity = {pattern.entity: pattern for pattern in logs.patterns}
    assert len(logs.patterns) == 2
    assert by_entity["service:payment"].id == by_entity["service:gateway"].id
    for pattern in logs.patterns:
        assert pattern.template == "cannot charge the card of <*> now"
        assert pattern.exemplar == "cannot charge the card of fay now"
        assert pattern.first_seen_at == pytest.approx(otlp.start)
    assert logs.counts.sum(axis=1).tolist() == [6.0, 6.0]
    assert builder.stats["templates"] == 1 and "over_patterns" not in builder.stats


def test_a_line_that_goes_on_where_another_ends_is_another() -> None:
    for one, other in (("lost the lease", "lost the lease early"), ("lost the lease early", "lost the lease")):
        templates = Templates()
        assert templates.find(one).id != templates.find(other).id and len(templates) == 2
