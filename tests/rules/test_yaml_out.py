"""Our fast YAML says what PyYAML reads."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch.shell.files.yaml_out import dumped

SPECIAL = st.sampled_from(
    ["", "no", "Yes", "~", "1", "0x1f", "1e3", "a: b", "a #b", "-", "- x", "|", "a:", ":a", "=", "<<"]
)
TEXTS = st.one_of(SPECIAL, st.text(max_size=12), st.text(alphabet='ab: "\\\n\t#-{}é\x85\u2028', max_size=12))
TREES = st.recursive(
    TEXTS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=12,
)


@settings(deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(tree: Any) -> None:
    assert yaml.safe_load(dumped(tree)) == tree


@pytest.mark.parametrize(
    "text", ["a\n", "a\n\nb", "a\n\n", "\na", " a\nb", 'say "x"', "a\n  b\n", "a \nb", "\U0001f600"]
)
def test_lines_and_quotes_are_kept(text: str) -> None:
    assert yaml.safe_load(dumped({"a": [{"expr": text, "labels": {"b": text}}]})) == {
        "a": [{"expr": text, "labels": {"b": text}}]
    }


def test_a_query_stands_as_a_block() -> None:
    rule = {"record": "slo:x", "expr": 'sum(x{a="1"})', "labels": {"tier": "2"}}
    assert dumped({"rules": [rule]}) == (
        'rules:\n- record: slo:x\n  expr: |-\n    sum(x{a="1"})\n  labels:\n    tier: "2"\n'
    )
