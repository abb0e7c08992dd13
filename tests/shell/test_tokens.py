"""Tokens of one's own: whose is it, and which settings are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.model.errors import ConfigError
from midwatch.shell.config import load_settings
from midwatch.shell.tokens import Tokens, named_tokens

ANA, BO, FOLDER = "a" * 20, "b" * 20, "f" * 20


def test_whose_token_it_is() -> None:
    tokens = Tokens({"ana": ANA, "bo": BO}, (FOLDER, ""))
    assert [tokens.holder(t) for t in (ANA, f" {BO}\n", FOLDER)] == ["ana", "bo", ""]
    assert [tokens.holder(t) for t in ("", "x", "aaaa", "ü" * 20)] == [None] * 4
    assert Tokens().holder("") is None


def test_they_are_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANA", ANA)
    (tmp_path / "bo.token").write_text(BO + "\n")
    (tmp_path / "settings.yaml").write_text(f"tokens: {{ana: env:ANA, bo: 'file:{tmp_path}/bo.token'}}\n")
    assert named_tokens(load_settings(tmp_path), [FOLDER]) == {"ana": ANA, "bo": BO}


@pytest.mark.parametrize(
    ("ana", "why"),
    [
        ("short", "shorter than 16"),
        (BO, "ana and bo have the same token|bo and ana have the same token"),
        (FOLDER, "ana and the folder have the same token"),
        ("", "not set"),
    ],
)
def test_a_token_that_is_no_token_of_one_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ana: str, why: str
) -> None:
    monkeypatch.setenv("ANA", ana)
    monkeypatch.setenv("BO", BO)
    (tmp_path / "settings.yaml").write_text("tokens: {ana: env:ANA, bo: env:BO}\n")
    with pytest.raises(ConfigError, match=why) as caught:
        named_tokens(load_settings(tmp_path), [FOLDER])
    assert not ana or ana not in str(caught.value).split()


@pytest.mark.parametrize(
    "line", ["ana: hunter2", "file: env:ANA", "midwatch: env:ANA", "' ana': env:ANA", "'': env:ANA"]
)
def test_settings_that_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "settings.yaml").write_text(f"tokens:\n  {line}\n")
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert caught.value.key.startswith("tokens") and caught.value.line in (1, 2)
