"""Channels against a real local server, by the conformance kit."""

from __future__ import annotations

import asyncio
import gzip
import io
import json

import pytest

from midwatch.adapters.channels.apprise import AppriseChannel
from midwatch.adapters.channels.console import ConsoleChannel
from midwatch.adapters.channels.http import MAX_ANSWER_BYTES, post
from midwatch.adapters.channels.redact import redact
from midwatch.adapters.channels.webhook import WebhookChannel, sign, verify
from midwatch.adapters.testing import (
    Receiver,
    check_channel_delivers,
    check_channel_failure,
    check_channel_in_time,
    sample_page,
)
from midwatch.model.errors import ChannelError

SECRET = "s3cr3t-of-the-pager"


def webhook(url: str, **options: object) -> WebhookChannel:
    return WebhookChannel("phone", lambda: url, lambda: SECRET, **options)  # type: ignore[arg-type]


def test_webhook_delivers_signed_and_with_its_key() -> None:
    with Receiver() as receiver:
        page = sample_page()
        asyncio.run(
            check_channel_delivers(webhook(receiver.url, clock=lambda: 1_700_000_000.0), page, lambda: receiver.bodies)
        )
        one = receiver.received[0]
        stamp, signature = one.headers["x-midwatch-timestamp"], one.headers["x-midwatch-signature"]
        assert one.headers["idempotency-key"] == page.key
        assert verify(SECRET, stamp, one.body, signature, 1_700_000_100.0)
        assert not verify(SECRET, stamp, one.body + b" ", signature, 1_700_000_100.0)
        assert not verify("another", stamp, one.body, signature, 1_700_000_100.0)
        assert not verify(SECRET, stamp, one.body, signature, 1_700_001_000.0), "an old page replayed"
        assert not verify(SECRET, "soon", one.body, sign(SECRET, "soon", one.body), 1_700_000_000.0)
        assert json.loads(one.body)["severity"] == 2


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (503, True)])
def test_webhook_tells_never_from_later(status: int, retryable: bool) -> None:
    with Receiver(answers=[(status, {})]) as receiver:
        asyncio.run(check_channel_failure(webhook(receiver.url), sample_page(), retryable=retryable, secrets=[SECRET]))


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 60.0), ("soon", 2.0), ("²", 2.0)]
)
def test_webhook_honours_retry_after(header: str, seconds: float) -> None:
    with Receiver(answers=[(429, {"Retry-After": header})]) as receiver:
        with pytest.raises(ChannelError) as caught:
            asyncio.run(webhook(receiver.url, clock=lambda: 0.0).send(sample_page()))
        assert caught.value.retry_after_seconds == seconds


def test_webhook_gives_up_in_time() -> None:
    with Receiver(silent_seconds=3) as receiver:
        channel = webhook(receiver.url, timeout_seconds=0.3)
        asyncio.run(check_channel_in_time(lambda: channel.send(sample_page()), 0.3))


def test_webhook_failures_hold_no_secret() -> None:
    secret_url = "http://user:hunter2@127.0.0.1:9/hook/token-abc?key=hunter2"
    secrets = [SECRET, "hunter2", "token-abc"]
    asyncio.run(check_channel_failure(webhook(secret_url), sample_page(), retryable=True, secrets=secrets))
    asyncio.run(check_channel_failure(webhook("ftp://x/token-abc"), sample_page(), retryable=False, secrets=secrets))


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_answer_without_end_is_not_read_to_its_end(coding: str) -> None:
    """A page that was taken is taken; what else is said about it does not fill the memory."""
    body = b'{"words": "' + b"x" * (64 * 1024 * 1024)
    with Receiver(body=body if coding == "identity" else gzip.compress(body, 1)) as receiver:
        receiver.answers = [(200, {"Content-Encoding": coding})]
        answer = asyncio.run(post(receiver.url, b"", {}, whom="the receiver", timeout_seconds=10.0))
    assert answer.content == body[:MAX_ANSWER_BYTES]


def test_webhook_follows_no_redirect() -> None:
    with Receiver() as other, Receiver(answers=[(307, {"Location": other.url})]) as receiver:
        asyncio.run(check_channel_failure(webhook(receiver.url), sample_page(), retryable=False))
        assert not other.received


def test_apprise_delivers_through_a_real_service() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("http://", "json://")
        channel = AppriseChannel("chat", lambda: url)
        asyncio.run(check_channel_delivers(channel, sample_page(), lambda: receiver.bodies))


def test_apprise_finds_a_person_at_their_address() -> None:
    with Receiver() as receiver:
        url = receiver.url.replace("http://", "json://") + "/{to}"
        channel = AppriseChannel("sms", lambda: url)
        asyncio.run(channel.send(sample_page(person="ana", to="+49 170/1")))
        assert receiver.received[0].path.startswith("/hook/+49%20170%2F1")
        asyncio.run(check_channel_failure(channel, sample_page(), retryable=False))
        assert len(receiver.received) == 1


def test_apprise_failures() -> None:
    with Receiver(answers=[(500, {})] * 5) as receiver:
        url = receiver.url.replace("http://", "json://user:hunter2@")
        asyncio.run(
            check_channel_failure(
                AppriseChannel("chat", lambda: url), sample_page(), retryable=True, secrets=["hunter2"]
            )
        )
    wrong = AppriseChannel("chat", lambda: "nonsense-hunter2")
    asyncio.run(check_channel_failure(wrong, sample_page(), retryable=False, secrets=["hunter2"]))


def test_console_shows_control_characters_instead_of_sending_them() -> None:
    stream = io.StringIO()
    asyncio.run(ConsoleChannel(stream=stream).send(sample_page(subject="a\x1b[2Jb", text="first\nsecond")))
    assert (
        "\x1b" not in stream.getvalue() and "a\\x1b[2Jb" in stream.getvalue() and "first\nsecond" in stream.getvalue()
    )


@pytest.mark.parametrize(
    "text",
    [
        "http://me:hunter2@host/path failed",
        "GET https://host/path?token=hunter2 failed",
        "Authorization: Bearer hunter2",
        "password=hunter2, user=me",
        "it said hunter2",
    ],
)
def test_redaction(text: str) -> None:
    assert "hunter2" not in redact(text, ["hunter2"] if text.startswith("it said") else [])
    assert len(redact("x" * 1000)) == 300
