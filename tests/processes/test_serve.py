"""`bedplate serve` as a user starts it."""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import httpx
import pytest
from sqlalchemy.engine import make_url

from bedplate.testing.servers import Server, run_command, serving

PASSWORD = "Passw0rd-of-tests"


def connect(server: Server) -> httpx.Client:
    # One connection for each request, so that both of two workers get some.
    headers = {"Connection": "close"}
    return httpx.Client(base_url=server.api, headers=headers, timeout=30)


def sign_up(client: httpx.Client, email: str) -> int:
    body = {"email": email, "name": "Newcomer", "password": PASSWORD}
    return client.post("/users", json=body).status_code


def sign_in(client: httpx.Client, email: str) -> dict[str, str]:
    """Sign in, and return the headers of authenticated requests."""
    form = {"username": email, "password": PASSWORD}
    token = client.post("/auth/token", data=form).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


def test_it_serves_from_an_empty_folder_without_settings(tmp_path: Path) -> None:
    with serving(tmp_path) as server, connect(server) as client:
        assert sign_up(client, "first@example.com") == 201
        me = client.get("/users/me", headers=sign_in(client, "first@example.com"))
        docs = client.get(f"{server.url}/docs")

    assert me.json()["email"] == "first@example.com"
    assert docs.status_code == 200


def test_it_prints_where_everything_is(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        output = server.output

    assert "Bedplate is serving (development)" in output
    assert f"{server.url}/api/v1" in output
    assert f"{server.url}/docs" in output
    assert str(tmp_path / ".bedplate") in output
    assert "bedplate users create" in output


def test_as_a_python_module_it_serves_a_folder_again_with_its_data(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "a folder, ünusual"
    folder.mkdir()
    program = (sys.executable, "-m", "bedplate")
    settings = {"database_url": "sqlite:///kept.db"}
    with (
        serving(folder, program=program, **settings) as server,
        connect(server) as client,
    ):
        sign_up(client, "kept@example.com")
        headers = sign_in(client, "kept@example.com")

    with serving(folder, **settings) as server, connect(server) as client:
        response = client.get("/users/me", headers=headers)

    assert response.json()["email"] == "kept@example.com"
    assert (folder / "kept.db").exists()


def test_two_workers_share_accounts_and_sessions(
    database_url: str, tmp_path: Path
) -> None:
    addresses = [f"user{number}@example.com" for number in range(12)]
    settings = {"database_url": database_url}
    with (
        serving(tmp_path, "--workers", "2", **settings) as server,
        connect(server) as client,
        ThreadPoolExecutor(6) as threads,
    ):
        server.wait_for_workers(2)
        created = list(threads.map(lambda email: sign_up(client, email), addresses))
        headers = sign_in(client, addresses[0])
        reads = [client.get("/users/me", headers=headers) for _ in range(30)]

        server.terminate()
        code = server.wait()

    assert created == [201] * 12
    assert [response.status_code for response in reads] == [200] * 30
    assert code == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_on_postgresql_it_shows_the_database_without_the_password(
    database_url: str, tmp_path: Path
) -> None:
    password = make_url(database_url).password
    assert password
    with serving(tmp_path, database_url=database_url) as server:
        output = server.output + server.errors

    assert "postgresql://bedplate:***@" in output
    assert password not in output


@pytest.mark.parametrize("arguments", [(), ("--workers", "2"), ("--reload",)], ids=str)
def test_links_in_mails_have_the_port_of_the_server(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    outbox = tmp_path / "outbox"
    with (
        serving(tmp_path, *arguments, mail_url=f"file://{outbox}") as server,
        connect(server) as client,
    ):
        assert sign_up(client, "first@example.com") == 201
        body = {"email": "first@example.com"}
        assert client.post("/auth/password/forgot", json=body).status_code == 202
        link = wait_for_link(outbox)
        page = httpx.get(link)

    assert link.startswith(f"{server.url}/account/reset-password?token=")
    assert page.status_code == 200


def wait_for_link(outbox: Path) -> str:
    """Return the link in the first mail that has one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for path in outbox.glob("*.eml"):
            mail = message_from_bytes(path.read_bytes(), policy=default)
            body = mail.get_body(("plain",))
            assert body is not None
            text = body.get_content()
            if match := re.search(r"https?://\S+token=\S+", text):
                return match[0]
        time.sleep(0.1)
    raise AssertionError("no mail with a link")


def test_help_names_every_command(tmp_path: Path) -> None:
    output = run_command(tmp_path, "--help").stdout

    for command in ("serve", "migrate", "users", "routes", "openapi", "doctor"):
        assert command in output
