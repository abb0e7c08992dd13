"""Settings: what is wrong is said with file, line and key; secrets are references."""

from __future__ import annotations

from pathlib import Path

import pytest

from midwatch.model.errors import ConfigError
from midwatch.shell.channels import build_channels, unready_channels
from midwatch.shell.config import folder_token, load_settings, read_settings, resolve


def written(folder: Path, text: str) -> Path:
    (folder / "settings.yaml").write_text(text)
    return folder


def test_the_command_line_overrides_the_file_and_paths_are_relative_to_it(tmp_path: Path) -> None:
    settings = load_settings(
        written(tmp_path, "tick_seconds: 2\npolicy: [slos]\n"), {"tick_seconds": 3.0, "mode": None}
    )
    assert settings.tick_seconds == 3.0 and settings.policy == (tmp_path / "slos",) and settings.mode is None
    assert load_settings(tmp_path / "empty").otlp_port == 4318


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("tick_seconds: 5\notlp_port: 99999\n", 2, "otlp_port"),
        ("colour: red\n", 1, "colour"),
        ("otlp_host: 0.0.0.0\n", 1, "otlp_host"),
        ("channels:\n  chat:\n    type: apprise\n    url: slack://T/B/hunter2\n", 4, "channels.chat.apprise.url"),
        ("channels: {chat: {type: pigeon}}\n", 1, "channels.chat"),
        ("a: [\n", 2, ""),
        ("- a\n", 1, ""),
    ],
)
def test_wrong_settings_name_file_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, text))
    assert (caught.value.line, caught.value.key) == (line, key)
    assert str(tmp_path / "settings.yaml") in str(caught.value) and "hunter2" not in str(caught.value)


def test_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGE_SECRET", "hunter2")
    (tmp_path / "s.json").write_text('{"token": "t-1"}')
    assert resolve("env:PAGE_SECRET") == "hunter2" and resolve("plain") == "plain"
    assert resolve(f"file:{tmp_path / 's.json'}#token") == "t-1"
    for wrong in ("env:NOT_SET_ANYWHERE", "file:/nowhere/at/all", f"file:{tmp_path / 's.json'}#no"):
        with pytest.raises(ConfigError):
            resolve(wrong)
    text = "channels: {phone: {type: webhook, url: http://x, secret: {env: PAGE_SECRET}}, here: {type: console}}\n"
    settings = load_settings(written(tmp_path, text))
    assert [c.name for c in build_channels(settings)] == ["phone", "here"] and "hunter2" not in repr(settings)
    assert [c.name for c in build_channels(load_settings(tmp_path / "none"))] == ["console"]


def test_the_token_is_kept_for_oneself(tmp_path: Path) -> None:
    assert folder_token(tmp_path, create=False) == ""
    token = folder_token(tmp_path, create=True)
    assert len(token) >= 32 and folder_token(tmp_path, create=True) == token
    (tmp_path / "token").chmod(0o644)
    assert folder_token(tmp_path, create=False) == "", "others may have read it"
    assert folder_token(tmp_path, create=True) not in ("", token)


def test_every_wrong_setting_is_told_and_no_secret_with_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("mod: ask\nchannels:\n  hook: {type: webhok, url: x}\n  b: [hunter2]\ntick_seconds: abc\n", "utf-8")
    settings, problems = read_settings(tmp_path)
    assert settings is None and "hunter2" not in str([str(p) for p in problems])
    assert {(p.line, p.key) for p in problems} == {
        (1, "mod"),
        (3, "channels.hook"),
        (4, "channels.b"),
        (5, "tick_seconds"),
    }
    assert {p.hint for p in problems if p.key == "mod"} == {"did you mean mode?"}


def test_a_channel_without_its_secret_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAGE_SECRET", raising=False)
    text = "channels:\n  phone: {type: webhook, url: http://127.0.0.1:1, secret: env:PAGE_SECRET}\n"
    (tmp_path / "settings.yaml").write_text(text, "utf-8")
    assert "PAGE_SECRET is not set" in unready_channels(load_settings(tmp_path))
    monkeypatch.setenv("PAGE_SECRET", "hunter2")
    assert unready_channels(load_settings(tmp_path)) == ""


def test_a_secret_in_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve(f"file:{tmp_path / 'secret'}")
