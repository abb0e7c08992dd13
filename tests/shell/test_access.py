"""Who may do what, and what an audit finds in the journal."""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from tests.shell.conftest import make_settings

import midwatch
from midwatch.adapters.channels.webhook import WebhookChannel
from midwatch.adapters.testing import Receiver, sample_page
from midwatch.model import events as e
from midwatch.model.errors import ConfigError, Forbidden, JournalError, SourceError
from midwatch.model.findings import Impact
from midwatch.model.fold import fold
from midwatch.model.people import People, Team
from midwatch.model.policy import Policy
from midwatch.model.state import State
from midwatch.shell import secret_command
from midwatch.shell.access import NEEDS, Access
from midwatch.shell.access_settings import AccessSettings, encrypted
from midwatch.shell.config import Settings, SourceSettings, load_settings, resolve
from midwatch.shell.following import hand_over
from midwatch.shell.gate import Gate
from midwatch.shell.hands import build_actuators
from midwatch.shell.heartbeat import Heartbeat
from midwatch.shell.run import Watch
from midwatch.shell.secret_reads import READS
from midwatch.shell.sources import build_source

POLICY = Policy(
    people=People(teams=(Team("shop", services=("service:payment",)), Team("data", services=("service:etl",))))
)


def access(**given: Any) -> Access:
    return Access(AccessSettings.model_validate(given))


def state_with_incidents() -> State:
    state = State()
    for seq, (ident, entity) in enumerate(
        (("INC-1", "service:payment"), ("INC-2", "service:etl"), ("INC-3", "service:x")), 1
    ):
        impact = Impact(entity, 0.0, 0.0, 1.0)
        opened = e.IncidentOpened(ident, "it", 1.0, 2, "", (), (entity,), impact)
        state = fold(state, e.Recorded(seq, 1.0, opened))
    return fold(state, e.Recorded(9, 1.0, e.PolicyLoaded(POLICY)))


def allowed(one: Access, who: str, verb: str, target: str = "") -> bool:
    try:
        one.check(e.CommandGiven(verb, who, target, credential=who), state_with_incidents())
    except Forbidden:
        return False
    return True


def test_secrets_are_sent_encrypted_or_stay_on_this_machine() -> None:
    good = ["https://id.example/token", "http://localhost:9/", "http://127.0.0.1", "http://[::1]:9"]
    bad = [
        "http://id.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "https://a:b@id.example",
    ]
    assert [url for url in (*good, *bad, "https://", "http://[::1", "") if encrypted(url)] == good


def test_without_settings_whoever_is_let_in_may_do_everything() -> None:
    one = access()
    assert all(allowed(one, who, verb) for who in ("", "ana") for verb in get_args(e.CommandVerb))


def test_every_verb_has_a_role_and_each_role_what_the_one_below_has() -> None:
    assert set(NEEDS) == set(get_args(e.CommandVerb))
    one = access(people={"vi": "viewer", "re": "responder", "op": "operator", "ad": "admin"})
    may = {who: {v for v in NEEDS if allowed(one, who, v)} for who in ("vi", "re", "op", "ad")}
    assert may["vi"] == set() and may["re"] < may["op"] == may["ad"] == set(NEEDS)
    assert "hands_off" in may["re"] and not {"hands_on", "approve", "undo", "autonomy"} & may["re"]


def test_roles_are_per_team() -> None:
    one = access(people={"bo": {"shop": "operator", "*": "viewer"}, "cy": {"data": "responder"}})
    assert [allowed(one, "bo", "resolve", i) for i in ("INC-1", "INC-2", "INC-3")] == [True, False, False]
    assert [allowed(one, "cy", "ack", i) for i in ("INC-1", "INC-2", "INC-3")] == [False, True, False]
    assert one.role("bo", "shop") == "operator" and one.role("bo") == "viewer" and one.role("cy") == ""
    assert not allowed(one, "bo", "hands_on") and not allowed(one, "bo", "no_such_verb")


def test_who_is_not_named_only_looks_and_the_folder_s_own_token_owns_the_watch() -> None:
    one = access(people={"ana": "admin"})
    assert one.role("zed") == "viewer" and one.sees("zed") and not allowed(one, "zed", "ack")
    assert allowed(one, "", "hands_on")


def test_a_program_s_token_is_for_its_scopes() -> None:
    given = {"token": "env:X", "scopes": ["read", "changes"]}
    one = access(machines={"ci": given, "bot": {"token": "env:Y", "scopes": ["commands"], "role": "responder"}})
    assert [one.scope("ci", s) for s in ("read", "changes", "commands")] == [True, True, False]
    assert not allowed(one, "ci", "ack") and allowed(one, "bot", "ack") and not allowed(one, "bot", "approve")
    assert not one.scope("bot", "read")


def test_groups_of_a_provider_give_roles() -> None:
    oidc = {"issuer": "https://id.example", "client_id": "x", "url": "https://midwatch.example",
            "roles": {"sre": "operator", "shop-dev": {"shop": "responder"}}, "default": "none"}  # fmt: skip
    one = access(oidc=oidc, people={"ana": "admin"})
    one.remember("bo@example.com", ("shop-dev", "cooks"))
    one.remember("cy@example.com", ("sre", "shop-dev"))
    one.remember("zed@example.com", ("cooks",))
    one.remember("ana", ())
    assert one.role("bo@example.com", "shop") == "responder" and one.role("bo@example.com") == ""
    assert one.role("cy@example.com", "shop") == one.role("cy@example.com") == "operator"
    assert not one.sees("zed@example.com") and one.role("ana") == "admin"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("access: {people: {ana: king}}", "viewer"),
        ("access: {people: {ana: admin}, machines: {ana: {token: env:X}}}", "one name"),
        ("access: {machines: {ci: {token: abc}}}", "reference"),
        ("access: {oidc: {issuer: 'http://id.example', client_id: x, url: 'https://m.example'}}", "https"),
        ("console_host: 0.0.0.0", "access.tls"),
        ("store: 'clickhouse://ann:hush@db/midwatch'", "refer to the whole address"),
        ("console_host: 0.0.0.0\naccess: {tls: {certificate: c, key: k}}", "sign-in"),
        ("access: {proxy: {addresses: []}}", "at least 1"),
    ],
)
def test_settings_that_cannot_hold(tmp_path: Path, settings: str, why: str) -> None:
    (tmp_path / "settings.yaml").write_text(settings)
    with pytest.raises(ConfigError, match=why):
        load_settings(tmp_path)


def test_commands_are_refused_and_the_refusal_is_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BO", "b" * 20)
    monkeypatch.setenv("CACHE", "redis://127.0.0.1:1/0")
    READS.take()

    async def go() -> None:
        settings = make_settings(
            tmp_path,
            tokens={"bo": "env:BO"},
            access={"people": {"bo": "viewer"}},
            actuators={"valkey": {"url": "env:CACHE"}},
        )
        watch = Watch(settings, actuators=build_actuators(settings), policy=Policy())
        await watch.start()
        for _ in range(3):
            with pytest.raises(Forbidden, match="hands_on takes the role operator; bo has viewer"):
                await watch.command(e.CommandGiven("hands_on", "bo", credential="bo"))
        watch.audit.signed_in("bo", "token", "viewer")
        with pytest.raises(ConfigError):
            resolve("env:NOT_THERE")
        await watch.audit.write()
        await watch.audit.write()
        found = [one.event for one in watch.journal.read()]
        assert [one for one in found if isinstance(one, e.SignedIn)] == [e.SignedIn("bo", "token", "viewer")]
        (refused,) = [one for one in found if isinstance(one, e.AccessRefused)]
        assert (refused.by, refused.what, refused.times) == ("bo", "hands_on", 3)
        (reads,) = [one for one in found if isinstance(one, e.SecretsRead)]
        assert reads.reads["env:BO"] == (1, 0) and reads.reads["env:NOT_THERE"] == (0, 1)
        assert reads.reads["env:CACHE"] == (1, 0), "hands too"
        assert not any(isinstance(one, e.CommandGiven) for one in found)
        assert all("b" * 20 not in repr(one) for one in found), "no secret in the journal"
        await watch.stop()

    asyncio.run(go())


def test_who_signs_in_while_the_audit_waits_is_in_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        watch = Watch(make_settings(tmp_path), policy=Policy())
        await watch.start()
        watch.audit.signed_in("ana", "token", "admin")
        watch.audit.refused("bo", "look", "no role")
        append = watch.books.append

        async def slow(*given: Any) -> Any:
            watch.audit.signed_in("cy", "token", "viewer")
            watch.audit.refused("bo", "look", "no role")
            return await append(*given)

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(watch.books, "append", slow)
            await watch.audit.write()

        def full(*_: object) -> None:
            raise JournalError("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(watch.books.journal, "append", full)
            await watch.audit.write()
        watch.audit.refused("bo", "look", "no role")
        await watch.audit.write()
        found = [one.event for one in watch.journal.read()]
        assert [one.by for one in found if isinstance(one, e.SignedIn)] == ["ana", "cy"]
        assert [one.times for one in found if isinstance(one, e.AccessRefused)] == [1, 2]
        await watch.stop()

    asyncio.run(go())


def test_nothing_below_the_shell_looks_a_secret_up_by_itself() -> None:
    """What is not looked up with ``resolve`` is in no audit."""
    folder = Path(midwatch.__file__).parent / "adapters"
    found = [
        str(file) for file in folder.rglob("*.py") if "os.environ" in (text := file.read_text()) or "getenv" in text
    ]
    assert not found


def test_no_secret_is_looked_up_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is asked for one may take seconds, in which nobody would be paged and no lease renewed."""
    threads: dict[str, int] = {}
    monkeypatch.setattr(READS, "note", lambda reference, ok: threads.update({reference: threading.get_ident()}))
    monkeypatch.setenv("TOKEN", "a-token")

    async def go(receiver: Receiver) -> None:
        monkeypatch.setenv("BEAT", receiver.url)
        source = SourceSettings(url=receiver.url, bearer_token="env:TOKEN")
        client = build_source("prom", source)._client  # type: ignore[attr-defined]
        with suppress(SourceError):
            await client.query("up", 0.0)
        async with httpx.AsyncClient() as http:
            await Heartbeat("env:BEAT", dict).beat(http)
        monkeypatch.setenv("ADDRESS", "+49 170 1")
        await hand_over(WebhookChannel("phone", lambda: receiver.url), sample_page(to="env:ADDRESS"), State())

    with Receiver() as receiver:
        asyncio.run(go(receiver))
        assert len(receiver.received) == 3
    assert threads.keys() == {"env:TOKEN", "env:BEAT", "env:ADDRESS"}
    assert threading.get_ident() not in threads.values()


def test_changed_settings_are_in_the_journal(tmp_path: Path) -> None:
    async def start(**changes: Any) -> list[e.SettingsRead]:
        watch = Watch(make_settings(tmp_path, **changes), policy=Policy())
        await watch.start()
        found = [one.event for one in watch.journal.read() if isinstance(one.event, e.SettingsRead)]
        await watch.stop()
        return found

    assert [one.changed for one in asyncio.run(start())] == [()]
    assert len(asyncio.run(start())) == 1, "the same settings are no change"
    changed = asyncio.run(start(heartbeat_url="env:DEADMAN_URL", access={"people": {"ana": "admin"}}))
    assert changed[-1].changed == ("access", "heartbeat_url")


def test_a_secret_from_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secret_command, "_kept", {})
    program = tmp_path / "vault"
    counts = f"open('{tmp_path}/calls', 'a').write('x')"
    program.write_text(f"#!{sys.executable}\nimport sys\n{counts}\nprint('s3cret', *sys.argv[1:])\n")
    program.chmod(0o700)
    assert resolve(f"command:{program} 'a b' ; true") == "s3cret a b ; true", "no shell takes it apart"
    assert resolve(f"command:{program} 'a b' ; true") == "s3cret a b ; true"
    assert (tmp_path / "calls").read_text() == "x", "it is kept for a while"
    monkeypatch.setattr(secret_command, "TIMEOUT_SECONDS", 0.2)
    for command, why in (
        ("/no/such/program hush-hush", "cannot be run"), ("false hush-hush", "ended with code 1"),
        ("true hush-hush", "gave nothing"), ("sleep 9", "did not end"), ("", "cannot be run"), ("'", "cannot be run"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=why) as caught:
            resolve(f"command:{command}")
        assert "hush-hush" not in str(caught.value)
    assert Settings(tokens={"ana": {"command": "pass ana"}}).tokens == {"ana": "command:pass ana"}


def test_what_an_audit_writes_does_not_hide_a_command_that_a_crash_swallowed(tmp_path: Path) -> None:
    async def go() -> None:
        settings = make_settings(tmp_path)
        first = Watch(settings, policy=Policy())
        await first.start()
        given = await first.command(e.CommandGiven("note", "ann", note="obeyed by nobody yet"))
        first.audit.signed_in("ann", "token", "admin")
        await first.audit.write()
        await first.books.append([e.AlertsReceived()], first.now())
        await first.stop()
        second = Watch(settings, policy=Policy())
        await second.start()
        assert [one.seq for one in second.desk.waiting] == [given.seq]
        await second.stop()

    asyncio.run(go())


def test_a_proxy_is_known_by_its_ipv4_address_where_one_socket_takes_both_families() -> None:
    gate = Gate(AccessSettings.model_validate({"proxy": {"addresses": ["192.0.2.0/28", "2001:db8::1"]}}))
    assert [gate.trusts(peer) for peer in ("192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1")] == [True] * 3
    assert not any(gate.trusts(peer) for peer in ("::ffff:192.0.2.99", "::192.0.2.1", "2001:db8::2", "testclient"))
