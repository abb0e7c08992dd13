"""The actuators section of midwatch.yaml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midwatch.adapters.actuators.load import load_actuators
from midwatch.adapters.actuators.registry import VERBS
from midwatch.model.errors import ConfigError
from midwatch.shell.config import resolve
from midwatch.shell.secret_reads import READS


def test_all_four_with_secrets_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fleet.json").write_text(json.dumps({"token": "hush", "dsn": "dbname=shop"}))
    monkeypatch.setenv("CACHE_URL", "redis://127.0.0.1:1/0")
    READS.take()
    hands = load_actuators(
        {
            "platform": {"url": "http://127.0.0.1:1", "token": {"file": str(tmp_path / "fleet.json"), "key": "token"}},
            "haproxy": {"address": "/run/haproxy.sock"},
            "postgres": {
                "dsn": {"file": str(tmp_path / "fleet.json"), "key": "dsn"},
                "database": "shop",
                "indexes": {"by_user": "CREATE INDEX by_user ON public.orders USING btree (user_id)"},
            },
            "valkey": {"url": {"env": "CACHE_URL"}},
        },
        resolve,
    )
    assert {verb for hand in hands for verb in hand.verbs} == set(VERBS)
    file = f"file:{tmp_path}/fleet.json"
    assert READS.take() == {f"{file}#token": (1, 0), f"{file}#dsn": (1, 0), "env:CACHE_URL": (1, 0)}, "for the audit"


def test_a_secrets_command_serves_hands_too() -> None:
    (hand,) = load_actuators({"valkey": {"url": {"command": "echo redis://127.0.0.1:1/0"}}}, resolve)
    assert hand.verbs


def test_nothing_configured_means_no_hands() -> None:
    assert load_actuators({}, resolve) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"kubernetes": {}}, "actuators.kubernetes"),
        ({"platform": {}}, "actuators.platform.url"),
        ({"platform": {"url": "http://x", "tokn": "y"}}, "actuators.platform.tokn"),
        ({"platform": "http://x"}, "actuators.platform"),
        ({"platform": {"url": "http://x", "token": {"env": "NOT_SET_ANYWHERE"}}}, "NOT_SET_ANYWHERE"),
        ({"valkey": {"url": {"file": "/nowhere/at/all"}}}, "/nowhere/at/all"),
        ({"valkey": {"url": {"vault": "x"}}}, "actuators.valkey.url"),
        ({"valkey": {"url": "redis://:hush@127.0.0.1:9/0"}}, "actuators.valkey.url: holds a secret"),
        ({"platform": {"url": "http://x", "token": "hush"}}, "actuators.platform.token: holds a secret"),
        ({"postgres": {"dsn": "host=x password=hush"}}, "actuators.postgres.dsn: holds a secret"),
        ({"postgres": {"dsn": "", "indexes": {"a": "DROP TABLE users"}}}, "actuators.postgres.indexes"),
        ({"postgres": {"dsn": "", "indexes": {"a": "CREATE INDEX a ON b (c); DROP TABLE b"}}}, "indexes"),
        ({"platform": {"url": "http://x", "verbs": "restart"}}, "actuators.platform.verbs"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_actuators(config, resolve)
