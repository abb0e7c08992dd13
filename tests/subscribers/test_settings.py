"""What the settings of the page's mail may say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midwatch.model.errors import ConfigError
from midwatch.shell.config import load_settings

CHANNELS = """
channels:
  post: {type: email, host: mail, sender: status@example.org, to: [ops@example.org]}
  siren: {type: console}
status_page:
"""
FINE = '  subscribers: {through: post, url: "https://status.example.org/"}\n  port: 8485\n'


def read(folder: Path, text: str) -> Any:
    (folder / "settings.yaml").write_text(CHANNELS + text)
    return load_settings(folder).status_page


def test_a_door_and_its_address(tmp_path: Path) -> None:
    found = read(tmp_path, FINE)
    assert (found.door, found.port, found.host) == ("https://status.example.org", 8485, "127.0.0.1")
    assert read(tmp_path, "  subscribers: {through: post}\n").door == ""
    assert read(tmp_path, "  port: 8485\n").subscribers is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (FINE.replace("post,", "siren,"), "no channel of type email"),
        (FINE.replace("post,", "nope,"), "no channel of type email"),
        (FINE.replace("  port: 8485\n", ""), "come together"),
        ("  subscribers: {through: post}\n  port: 8485\n", "come together"),
        (FINE.replace("https:", "http:"), "https address"),
        (FINE.replace(".org/", ".org/?key=x"), "https address"),
        (FINE + "  host: 0.0.0.0\n", "access.tls"),
        (FINE.replace("through: post", "through: post, per_minute: 0"), "greater than or equal"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        read(tmp_path, text)
    assert caught.value.key.startswith("status_page")
