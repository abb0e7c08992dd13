"""Counts of the past, and labelled incidents: what files may say, and what is said when they cannot be read."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shell.test_sources import NOW, Counted, slo

from midwatch.core.slo import ledger as books
from midwatch.model.errors import ConfigError
from midwatch.model.world import SliCounts
from midwatch.shell.config import load_settings
from midwatch.shell.files.incidents import read_incidents
from midwatch.shell.history import History, added, as_json, cut, from_json, from_source, of_ledger, read_csv


def written(tmp_path: Path, text: str, name: str = "h.csv") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def test_a_file_in_any_order_with_groups_and_a_step_twice(tmp_path: Path) -> None:
    found = read_csv(
        written(
            tmp_path,
            "at,good,total,slo,group\n"
            '2026-10-01T00:01:00Z,9,10,api,"tenant=a,region=eu"\n'
            '1790812800,5,10,api,"tenant=a,region=eu"\n'
            "1790812800,7,10,api,tenant=b\n"
            "1790812800,8,10,api,tenant=b\n",
        )
    )
    assert found.notes == ("h.csv: 1 steps are there twice; the later row holds",)
    assert [one.key for one in found.counts] == ["api{tenant=a,region=eu}", "api{tenant=b}"]
    whole = found.of("api")
    assert whole is not None and whole.at.tolist() == [1790812800, 1790812860]
    assert whole.good.tolist() == [13, 9] and whole.total.tolist() == [20, 10] and whole.seen_until == 1790812920
    assert found.of("other") is None


def test_a_file_that_names_no_promise_is_of_any(tmp_path: Path) -> None:
    found = read_csv(written(tmp_path, "\ufeffat,good,total\n0,1,1\n60,nan,1\n"))
    one = found.of("anything")
    assert one is not None and one.slo == "anything" and np.isnan(one.good[1]), "impossible data is not hidden here"


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("", "missing", 1),
        ("at,good\n1,1\n", "'total' is missing", 1),
        ("at,good,total,colour\n", "no such column: 'colour'", 1),
        ("at,good,total\n", "holds no counts", 1),
        ("at,good,total\n1,1\n", "not as many columns", 2),
        ("at,good,total\n1,1,1,1\n", "not as many columns", 2),
        ("at,good,total\n1,1,1\nnoon,1,1\n", "at: 'noon' is not a time", 3),
        ("at,good,total\n2026-10-01T00:00:00,1,1\n", "needs its zone", 2),
        ("at,good,total\ninf,1,1\n", "'inf' is no time", 2),
        ("at,good,total\n1,many,1\n", "good: 'many' is no number", 2),
        ("at,good,total,group\n1,1,1,a\n", "'a' is no group", 0),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, says: str, line: int) -> None:
    with pytest.raises(ConfigError, match=says) as found:
        read_csv(written(tmp_path, text))
    assert found.value.line == line and "h.csv" in str(found.value)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.integers(0, 9)), max_size=30), st.integers(1, 4))
def test_groups_add_up(rows: list[tuple[int, int, int]], many: int) -> None:
    parts = []
    for number in range(many):
        mine = {at: (good, total) for at, good, total in rows[number::many]}
        at = np.array(sorted(mine), dtype=float)
        table = np.array([mine[int(a)] for a in at], dtype=float).reshape(-1, 2)
        parts.append(SliCounts("api", (("n", str(number)),), at, table[:, 0], table[:, 1], 60.0))
    whole = added(parts)
    assert (np.diff(whole.at) > 0).all()
    assert whole.good.sum() == sum(p.good.sum() for p in parts)
    assert whole.total.sum() == sum(p.total.sum() for p in parts)


def test_a_source_is_asked_in_pieces(tmp_path: Path) -> None:
    source, told = Counted(), list[float]()
    found = asyncio.run(from_source(source, slo(), NOW - 10 * 86400, NOW, 60, told.append))
    (one,) = found.counts
    assert one.total.sum() == 14400 and (np.diff(one.at) == 60).all() and found.notes == ()
    assert len(source.spans) == 5 and told[-1] == 1.0 and told == sorted(told)
    source.silent_after = 0.0
    assert asyncio.run(from_source(source, slo(), NOW - 600, NOW, 60)) == History((), ("prom: no series match",))
    with pytest.raises(ConfigError, match="more than"):
        asyncio.run(from_source(source, slo(), 0, NOW, 60))


def test_a_ledger_gives_back_what_it_took() -> None:
    """Ten days of minutes: every event is there, the last three days to five minutes."""
    at = NOW - 10 * 86400 + 60.0 * np.arange(14400)
    total = 1.0 + np.arange(14400) % 7
    ledger = books.add(books.new_ledger(float(at[0])), at, total - (at == at[5000]), total, NOW)
    found, said = of_ledger("api", "api{a=b,c=d}", ledger)
    assert found.group == (("a", "b"), ("c", "d")) and (np.diff(found.at) == 300).all()
    assert abs(found.total.sum() - total.sum()) < 1e-6 and abs((found.total - found.good).sum() - 1) < 1e-6
    assert "spread evenly" in said
    lately = cut(found, NOW - 86400, NOW)
    assert lately.total.tolist() == total[-1440:].reshape(-1, 5).sum(axis=1).tolist()
    young = books.add(books.new_ledger(NOW - 600), np.array([NOW - 590.0]), np.array([1.0]), np.array([2.0]), NOW)
    one, said = of_ledger("api", "api", young)
    assert one.total.sum() == 2 and one.at.size <= 3 and said == ""


def test_counts_survive_the_way_as_json() -> None:
    one = SliCounts("api", (("a", "b"),), np.array([1.0]), np.array([2.0]), np.array([3.0]), 4.0, "why")
    (back,) = from_json(json.loads(json.dumps(as_json([one]))))
    assert (back.key, back.at.tolist(), back.good.tolist(), back.total.tolist()) == ("api{a=b}", [1], [2], [3])
    assert (back.seen_until, back.gap) == (4, "why")


def test_incidents_from_yaml_and_csv(tmp_path: Path) -> None:
    yaml = written(
        tmp_path,
        "incidents:\n- {start: 2026-10-01T02:00:00Z, end: 2026-10-01T03:00:00Z, slo: api}\n"
        "- {start: 1790812800, end: 1790812860, name: first}\n",
        "i.yaml",
    )
    found = read_incidents(yaml)
    assert [(i.start_at, i.name, i.slo) for i in found] == [
        (1790812800, "first", ""),
        (1790820000, "incident 1", "api"),
    ]
    text = "start,end,name,slo\n1790812800,1790812860,first,\n2026-10-01T02:00:00Z,2026-10-01T03:00:00Z,,api\n"
    assert [i.start_at for i in read_incidents(written(tmp_path, text, "i.csv"))] == [1790812800, 1790820000]
    for wrong, says, line in (
        ("start,end\n1,2\n5,4\n", "end must come after start", 3),
        ("start\n1\n", "end", 2),
        ("start,end,colour\n1,2,red\n", "colour", 2),
    ):
        with pytest.raises(ConfigError, match=says) as error:
            read_incidents(written(tmp_path, wrong, "i.csv"))
        assert error.value.line == line
    with pytest.raises(ConfigError, match="end must come after start") as error:
        read_incidents(written(tmp_path, "incidents:\n- {start: 2, end: 3}\n- {start: 2, end: 1}\n", "i.yaml"))
    assert error.value.line == 3
    with pytest.raises(ConfigError, match="incidents"):
        read_incidents(written(tmp_path, "things: []\n", "i.yaml"))


def block(page: str, kind: str, holds: str) -> str:
    """The block of a page of the documentation that has ``holds`` in it."""
    text = (Path(__file__).parents[2] / "docs" / page).read_text("utf-8")
    return next(one for one in re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL) if holds in one)


def test_the_examples_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    found = read_csv(written(tmp_path, block("backtest.md", "csv", "at,good,total")))
    assert [one.key for one in found.counts] == ["checkout", "checkout{tenant=a,region=eu}"]
    (incident,) = read_incidents(written(tmp_path, block("backtest.md", "yaml", "incidents:"), "i.yaml"))
    assert incident.end_at - incident.start_at == 2100 and incident.slo == "checkout"
    (tmp_path / "settings.yaml").write_text(block("settings.md", "yaml", "arithmetic: exact"))
    assert load_settings(tmp_path).sources["prom"].tenant == "team-a"
