"""Mail: templates, and delivery to files, the console and SMTP servers."""

import ssl
from datetime import timedelta
from email import message_from_bytes, policy
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID
from jinja2 import TemplateNotFound, UndefinedError

from bedplate.config import Settings
from bedplate.core.clock import utc_now
from bedplate.mail import Mail, MailRefused, make_mailer, outbox_folder, read_mails
from bedplate.modules.emails import service
from bedplate.modules.emails.service import render
from bedplate.testing.databases import TEST_KEY
from bedplate.testing.smtp import smtp_server

TEMPLATES = sorted(
    path.stem for path in Path(service.__file__).parent.glob("templates/en/*.txt")
)
# Sent to unverified addresses: without the name, which a stranger may have entered.
UNVERIFIED = {"welcome", "verify_email", "change_email"}
CONTEXT: dict[str, Any] = {
    "name": "Ann <b>& Co</b>",
    "link": "https://app.example/verify?token=a-token&x=1",
    "hours": 24,
    "minutes": 60,
    "new_email": "new@example.com",
    "device": "Firefox on Linux",
    "address": "192.0.2.1",
    "changes": "The role is now: editor.",
    "at": "23 November 2026, 09:00 UTC",
}


def make_settings(**values: Any) -> Settings:
    return Settings.load(
        _env_file=None, mail_from="Acme & Sons <hi@acme.example>", **values
    )


def make_mail(to: str = "ann@example.com") -> Mail:
    return render(
        make_settings(), "password_changed", to=to, message_id="some-id", name="Ann Jö"
    )


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_complete_as_text_and_html(template: str) -> None:
    mail = render(
        make_settings(), template, to="a@example.com", message_id="1", **CONTEXT
    )

    assert mail.subject
    assert "\n" not in mail.subject
    for body in (mail.text, mail.html):
        assert ("Ann" in body) is (template not in UNVERIFIED)
        assert "{{" not in body
    if template not in UNVERIFIED:
        assert "Ann &lt;b&gt;&amp; Co&lt;/b&gt;" in mail.html
        assert "Ann <b>& Co</b>" in mail.text
    assert ("token=a-token" in mail.text) == ("token=a-token" in mail.html)


def test_a_missing_value_of_the_context_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="link"):
        render(
            make_settings(),
            "verify_email",
            to="a@b.example",
            message_id="1",
            name="A",
            hours=1,
        )


def test_an_unknown_template_is_an_error() -> None:
    with pytest.raises(TemplateNotFound):
        render(make_settings(), "nonsense", to="a@b.example", message_id="1")


def test_a_project_overrides_a_template_a_language_and_the_layout(
    tmp_path: Path,
) -> None:
    for folder in ("en", "de"):
        (tmp_path / folder).mkdir()
    (tmp_path / "en" / "welcome.txt").write_text("Ours\n\nHi {{ name }}\n")
    (tmp_path / "de" / "welcome.txt").write_text("Willkommen\n\nHallo {{ name }}\n")
    (tmp_path / "layout.html").write_text(
        "<p>frame</p>{% block content %}{% endblock %}"
    )
    settings = make_settings(mail_templates=tmp_path, mail_language="de-AT")

    def welcome(language: str | None = None) -> Mail:
        return render(
            settings,
            "welcome",
            to="a@b.example",
            message_id="1",
            language=language,
            name="Ann",
        )

    assert welcome("en").subject == "Ours"
    assert welcome("de").subject == "Willkommen"
    assert welcome().subject == "Willkommen"  # de-AT falls back to de
    assert welcome("fr").subject == "Ours"  # no French templates: English
    assert welcome("de").html.startswith("<p>frame</p>")


def test_the_message_on_the_wire() -> None:
    raw = make_mail("ann@example.com").as_message().as_bytes()
    message = message_from_bytes(raw, policy=policy.default)

    assert message["From"] == "Acme & Sons <hi@acme.example>"
    assert message["To"] == "ann@example.com"
    assert message["Message-ID"] == "<some-id@acme.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    plain, html = message.iter_parts()
    assert "Ann Jö" in plain.get_content()
    assert "Ann Jö" in html.get_content()
    assert max(map(len, raw.splitlines())) < 998


def test_a_line_break_in_an_address_is_refused() -> None:
    mail = make_mail("ann@example.com\r\nBcc: eve@example.com")

    with pytest.raises(ValueError, match="Header values"):
        mail.as_message()


async def test_a_mail_is_one_file_and_a_repeat_replaces_it(tmp_path: Path) -> None:
    mailer = make_mailer(make_settings(mail_url=f"file://{tmp_path}/out"))
    await mailer.send(make_mail())
    await mailer.send(make_mail())

    [mail] = read_mails(tmp_path / "out")
    assert mail["Subject"] == "Your password was changed"
    files = [tmp_path / "out", *(tmp_path / "out").iterdir()]
    assert len(files) == 2
    assert [file.stat().st_mode & 0o077 for file in files] == [0, 0]


async def test_development_prints_the_text_and_stores_the_mail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(data_dir=tmp_path)
    await make_mailer(settings).send(make_mail())

    assert "Hello Ann Jö" in capsys.readouterr().out
    folder = outbox_folder(settings)
    assert folder is not None
    assert len(read_mails(folder)) == 1


async def test_production_neither_stores_nor_prints_the_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = make_settings(environment="production", secret_key=TEST_KEY)
    await make_mailer(settings).send(make_mail())

    assert outbox_folder(settings) is None
    printed = capsys.readouterr().out
    assert "Subject: Your password" in printed
    assert "Hello" not in printed


async def test_smtp_reuses_one_connection_and_replaces_a_dropped_one() -> None:
    replies = iter(["250 OK", "250 OK", "close", "250 OK"])
    with smtp_server(lambda _to, _attempt: next(replies)) as inbox:
        mailer = make_mailer(make_settings(mail_url=inbox.url))
        await mailer.send(make_mail())
        await mailer.send(make_mail())
        assert inbox.connections == 1
        with pytest.raises(aiosmtplib.SMTPException):
            await mailer.send(make_mail())
        await mailer.send(make_mail())
        await mailer.close()

    assert inbox.connections == 2
    assert len(inbox.mails) == 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("451 later", aiosmtplib.SMTPDataError),
        ("550 never", MailRefused),
        (None, aiosmtplib.SMTPTimeoutError),
    ],
)
async def test_the_server_s_reply_decides_whether_a_mail_is_retried(
    reply: str | None, error: type[Exception]
) -> None:
    with smtp_server(lambda _to, _attempt: reply) as inbox:
        mailer = make_mailer(make_settings(mail_url=inbox.url, mail_timeout=0.3))
        with pytest.raises(error):
            await mailer.send(make_mail())
        await mailer.close()


async def test_an_unreachable_server_is_a_temporary_error() -> None:
    with smtp_server() as inbox:
        url = inbox.url
    mailer = make_mailer(make_settings(mail_url=url))

    with pytest.raises(aiosmtplib.SMTPConnectError):
        await mailer.send(make_mail())


async def test_a_password_is_never_sent_without_tls() -> None:
    with smtp_server() as inbox:
        url = inbox.url.replace("//", "//me:secret@")
        mailer = make_mailer(make_settings(mail_url=url))
        with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
            await mailer.send(make_mail())

    assert inbox.mails == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return the path of a key and a self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    address = x509.IPAddress(ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path


@pytest.mark.parametrize("mode", ["tls", "starttls"])
async def test_the_password_is_sent_over_tls_to_a_server_with_a_valid_certificate(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    contexts: dict[str, Any] = {mode: context}
    with smtp_server(**contexts) as inbox:
        url = inbox.url.replace("//", "//me:secret@") + f"?tls={mode}"
        with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
            await make_mailer(make_settings(mail_url=url)).send(make_mail())
        assert inbox.users == set()

        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        mailer = make_mailer(make_settings(mail_url=url))
        await mailer.send(make_mail())
        await mailer.close()

    assert inbox.users == {"me"}
    assert len(inbox.mails) == 1
