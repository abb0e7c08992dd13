"""E-mail through a real SMTP server: aiosmtpd, with STARTTLS, sign-in and refusals as servers give them."""

from __future__ import annotations

import asyncio
import datetime
import email
import email.policy
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from midwatch.adapters.channels.email import EmailChannel, message
from midwatch.adapters.testing import check_channel_delivers, check_channel_failure, check_channel_in_time, sample_page

USER, PASSWORD = "pager", "s3cr3t-of-the-post"
SECRETS = [PASSWORD]


class Mailbox:
    """Takes everything, unless ``answers`` says otherwise: hook name -> what the server answers."""

    def __init__(self, **answers: str) -> None:
        self.mails: list[EmailMessage] = []
        self.answers = answers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address.startswith("gone@"):
            return "550 no such mailbox"
        if "rcpt" in self.answers:
            return self.answers["rcpt"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if "data" in self.answers:
            return self.answers["data"]
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))  # type: ignore[arg-type]
        return "250 OK"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of ``localhost``, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / "crt.pem", folder / "key.pem"
    crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return crt, pem


@contextmanager
def server(box: Mailbox, tls: tuple[Path, Path] | None = None) -> Iterator[int]:
    def signed_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=False)

    options: dict[str, Any] = {}
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        options = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "auth_require_tls": True,
            "authenticator": signed_in,
        }
    controller = Controller(box, hostname="localhost", port=_free_port(), **options)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def _free_port() -> int:
    """aiosmtpd's controller cannot be asked which port it got."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def mail(port: int, **options: Any) -> EmailChannel:
    values: dict[str, Any] = {"security": "none", **options}
    to = values.pop("to", ("ana@example.org",))
    return EmailChannel("post", "localhost", port, "midwatch@example.org", to, **values)


def signed_in(port: int, certificate: tuple[Path, Path], password: str = PASSWORD) -> EmailChannel:
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    return mail(port, security="starttls", user=lambda: USER, password=lambda: password, context=trust)


def test_a_page_arrives_over_starttls_with_sign_in(certificate: tuple[Path, Path]) -> None:
    box = Mailbox()
    with server(box, certificate) as port:
        asyncio.run(
            check_channel_delivers(signed_in(port, certificate), sample_page(), lambda: [_whole(m) for m in box.mails])
        )
    first, second = box.mails
    assert first["Message-ID"] == second["Message-ID"], "a mailbox can tell that it is the same page"
    assert first["Importance"] == "high" and first["Auto-Submitted"] == "auto-generated"
    assert first["To"] == "ana@example.org"


def _whole(one: EmailMessage) -> str:
    return f"{one['Subject']}\n{one['X-Midwatch-Key']}\n{one.get_content()}"


def test_pages_of_an_incident_are_one_conversation() -> None:
    first = message(sample_page("INC-1/post/0"), "m@example.org", ["a@example.org"])
    second = message(sample_page("INC-1/post/1"), "m@example.org", ["a@example.org"])
    other = message(sample_page("INC-2/post/0", incident="INC-2"), "m@example.org", ["a@example.org"])
    assert first["References"] == second["References"] != other["References"]
    assert first["Message-ID"] != second["Message-ID"]


def test_a_title_cannot_write_headers() -> None:
    made = message(sample_page(subject="a\r\nBcc: eve@example.org\nx"), "m@example.org", ["a@example.org"])
    assert made["Subject"] == "a Bcc: eve@example.org x" and made["Bcc"] is None


def test_a_page_goes_to_its_persons_own_address() -> None:
    box = Mailbox()
    with server(box) as port:
        asyncio.run(mail(port).send(sample_page(person="bo", to="bo@example.org")))
        wrong = sample_page(person="bo", to="bo@example.org\nBcc: eve@example.org")
        asyncio.run(check_channel_failure(mail(port), wrong, retryable=False))
    assert [one["To"] for one in box.mails] == ["bo@example.org"]


def test_a_wrong_password_is_final_and_not_repeated(certificate: tuple[Path, Path]) -> None:
    with server(Mailbox(), certificate) as port:
        channel = signed_in(port, certificate, "wrong-s3cr3t")
        asyncio.run(check_channel_failure(channel, sample_page(), retryable=False, secrets=["wrong-s3cr3t"]))


def test_a_certificate_that_is_not_trusted_gets_no_password(certificate: tuple[Path, Path]) -> None:
    box = Mailbox()
    with server(box, certificate) as port:
        channel = mail(port, security="starttls", user=lambda: USER, password=lambda: PASSWORD)
        asyncio.run(check_channel_failure(channel, sample_page(), retryable=True, secrets=SECRETS))
    assert not box.mails


def test_a_server_without_starttls_is_refused() -> None:
    with server(Mailbox()) as port:
        channel = mail(port, security="starttls", user=lambda: USER, password=lambda: PASSWORD)
        asyncio.run(check_channel_failure(channel, sample_page(), retryable=False, secrets=SECRETS))


def test_no_password_over_an_open_connection() -> None:
    channel = mail(1, user=lambda: USER, password=lambda: PASSWORD)
    asyncio.run(check_channel_failure(channel, sample_page(), retryable=False, secrets=SECRETS))


@pytest.mark.parametrize(
    ("answers", "retryable"),
    [
        ({"data": "451 greylisted, come back later"}, True),
        ({"data": "554 spam"}, False),
        ({"rcpt": "450 mailbox busy"}, True),
        ({"rcpt": "550 no such user"}, False),
    ],
)
def test_servers_say_later_or_never(answers: dict[str, str], retryable: bool) -> None:
    with server(Mailbox(**answers)) as port:
        asyncio.run(check_channel_failure(mail(port), sample_page(), retryable=retryable))


def test_one_of_two_mailboxes_gone_is_said() -> None:
    box = Mailbox()
    with server(box) as port:
        channel = mail(port, to=("gone@example.org", "bo@example.org"))
        asyncio.run(check_channel_failure(channel, sample_page(), retryable=False))
    assert len(box.mails) == 1


def test_nobody_there_is_worth_another_try() -> None:
    asyncio.run(check_channel_failure(mail(1), sample_page(), retryable=True))


def test_a_silent_server_is_given_up_in_time() -> None:
    async def go() -> None:
        async def nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        silent = await asyncio.start_server(nothing, "localhost", 0)
        channel = mail(silent.sockets[0].getsockname()[1], timeout_seconds=0.3)
        await check_channel_in_time(lambda: channel.send(sample_page()), 0.6)
        silent.close()

    asyncio.run(go())
