"""Every tutorial works when a reader follows it to the letter, from top to bottom."""

import re
from pathlib import Path

import httpx
import pytest
from support_tutorial import ROOT, Reader

from bedplate.testing.browser import find_form

PASSWORD = "Passw0rd-of-tests"
ADA = "ada@example.com"
API = "/api/v1"
# With the space: what is typed before the echo is off is thrown away.
TWICE = (("Password: ", PASSWORD), ("Repeat for confirmation: ", PASSWORD))
TUTORIALS = {path.name for path in (ROOT / "docs" / "tutorial").glob("*.md")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def read(page: str, folder: Path) -> Reader:
    return Reader(ROOT / page, folder)


def sign_up(client: httpx.Client, email: str) -> None:
    body = {"email": email, "name": "New", "password": PASSWORD}
    assert client.post(f"{API}/users", json=body).status_code == 201


def sign_in(client: httpx.Client, email: str) -> None:
    form = {"username": email, "password": PASSWORD}
    tokens = client.post(f"{API}/auth/token", data=form).raise_for_status().json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"


def enter_admin(client: httpx.Client, path: str) -> str:
    """Sign in to the admin site, and return the page at a path."""
    fields = find_form(client.get("/admin/login/").text).fields
    form = {**fields, "username": ADA, "password": PASSWORD, "next": path}
    page = client.post("/admin/login/", data=form, follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, path)
    return page.text


def test_every_tutorial_is_followed() -> None:
    followed = re.findall(
        r'read\("docs/tutorial/([\w-]+\.md)"', Path(__file__).read_text()
    )

    assert set(followed) == TUTORIALS


def test_a_first_service(folder: Path) -> None:
    reader = read("docs/tutorial/first-service.md", folder)
    with reader.serve() as client:
        assert client.get("/docs").status_code == 200
        files = {path.name for path in (folder / ".bedplate").iterdir()}
        assert {"bedplate.db", "secret_key"} <= files
        assert f"Created admin {ADA}" in reader.run(*TWICE)
        sign_in(client, ADA)
        assert client.get(f"{API}/users").json()["total"] == 1
        assert client.get(f"{API}/audit").json()["items"] != []
    reader.write("notes.py")
    reader.run()
    with reader.serve() as client:
        output = reader.run(put={"…": PASSWORD})
        assert output.count("Buy milk") == 2  # the note as it was made, and in the list
        assert "1 note" in enter_admin(client, "/admin/bedplate/note/")
    reader.replace("notes.py", since="module = Module(")
    with reader.serve() as client:
        listed = enter_admin(client, "/admin/bedplate/note/")
        assert "Buy milk" in listed
        assert "/admin/bedplate/user/" in listed
        assert "Buy milk" not in client.get("/admin/bedplate/note/?q=bread").text
    assert reader.blocks == []


def test_from_fastapi(folder: Path) -> None:
    reader = read("docs/tutorial/from-fastapi.md", folder)
    reader.run()
    reader.write("books.py")
    with reader.serve() as client:
        created = client.post("/books", json={"title": "Emma"})
        assert (created.status_code, created.json()["title"]) == (200, "Emma")
        assert [book["title"] for book in client.get("/books").json()] == ["Emma"]
        assert client.post("/books", json={"title": "Emma"}).status_code == 409
    explained = re.findall(r"^\| (`.*?) \|", reader.blocks[1].before, re.MULTILINE)
    rules = {rule for cell in explained for rule in re.findall(r"`([\w-]+)`", cell)}
    names = re.findall(r"^  ([\w-]+)  \S+$", reader.run(exit_code=1), re.MULTILINE)
    assert set(names) == rules
    reader.write("books.py")
    reader.run()
    reader.run()
    with reader.serve() as client:
        assert client.get(f"{API}/books").status_code == 401
        sign_up(client, ADA)
        sign_in(client, ADA)
        assert client.post(f"{API}/books", json={"title": "Emma"}).status_code == 201
        again = client.post(f"{API}/books", json={"title": "Emma"})
        assert (again.status_code, again.json()["error"]["code"]) == (
            409,
            "TITLE_TAKEN",
        )
    reader.write("both.py")
    with reader.serve() as client:
        assert client.get(f"{API}/old/ping").json() == {"answer": "pong"}
        assert client.get(f"{API}/books").status_code == 401
    assert reader.blocks == []


def test_for_django_developers(folder: Path) -> None:
    reader = read("docs/tutorial/for-django-developers.md", folder)
    reader.run()
    reader.run()
    reader.append("shop/settings.py")
    prompts = (("Email", ADA), ("Name:", "Ada"), ("Password: ", PASSWORD))
    reader.run(*prompts, ("Password (again): ", PASSWORD))
    reader.write("shop/views.py")
    reader.append("shop/views.py")
    reader.write("shop/urls.py")
    with reader.serve() as django:
        assert "Overview" in enter_admin(django, "/admin/")
        assert django.get("/newest/").json() == {"newest": [ADA]}
        with reader.serve() as api:
            sign_up(api, "bob@example.com")
            sign_in(api, "bob@example.com")
            bob = django.get("/whoami/", headers=dict(api.headers)).json()
            assert bob == {"email": "bob@example.com", "role": "user"}
            me = django.get(f"{API}/users/me", headers=dict(api.headers)).json()
            csrf = {"X-CSRFToken": django.cookies["csrftoken"]}
            gone = django.post(f"/deactivate/{me['id']}/", headers=csrf)
            assert gone.json() == {"email": "bob@example.com", "is_active": False}
            ended = django.get("/whoami/", headers=dict(api.headers))
            assert ended.status_code == 401
            assert f'"email":"{ADA}"' in reader.run(put={"…": PASSWORD})
    assert reader.blocks == []


def test_a_project_in_ten_minutes(folder: Path) -> None:
    reader = read("docs/tutorial/project.md", folder)
    reader.run(
        ("Title for people", ""),
        ("Add the Django admin?", ""),
        ("CI file", ""),
        ("Write these files?", "y"),
    )
    shop = folder / "shop"
    for file in (
        "src/shop/main.py",
        "src/shop/modules",
        "src/shop/migrations",
        "tests",
    ):
        assert (shop / file).exists()
        assert Path(file).name in reader.blocks[0].code
    reader.look_at("text")
    with reader.serve() as client:
        assert client.get("/docs").status_code == 200
        assert client.get("/admin/login/").status_code == 200
    reader.run()
    reader.run(("Write these files?", "y"))
    reader.run(("Write these files?", "y"))
    reader.run(*TWICE)
    with reader.serve() as client:
        sign_in(client, ADA)
        payment = make_payment(client)
        sign_up(client, "bob@example.com")
        sign_in(client, "bob@example.com")
        assert client.get(f"{API}/payments/{payment}").status_code == 404
    reader.run()
    reader.folder = shop
    reader.insert("src/shop/modules/invoices/models.py", below="number")
    assert "add a currency to invoices" in reader.run()
    assert reader.blocks == []


def make_payment(client: httpx.Client) -> str:
    me = client.get(f"{API}/users/me").json()["id"]
    invoice = {"number": "1", "total": "9.90", "due": "2030-01-31", "customer_id": me}
    created = client.post(f"{API}/invoices", json=invoice)
    assert created.status_code == 201, created.text
    payment = {"invoice_id": created.json()["id"], "amount": "9.90", "method": "cash"}
    paid = client.post(f"{API}/payments", json=payment)
    assert paid.status_code == 201, paid.text
    return str(paid.json()["id"])


def test_the_readme(folder: Path) -> None:
    reader = read("README.md", folder)
    with reader.serve() as client:
        assert "uv run pytest" in reader.look_at("sh")  # this run
        assert f"Created admin {ADA}" in reader.run(*TWICE)
        assert '"name":"Bob"' in reader.run().splitlines()[-1]
        assert client.get("/docs").status_code == 200
    reader.write("greetings.py")
    with reader.serve() as client:
        sign_in(client, ADA)
        answer = client.get(f"{API}/greetings/mine")
        assert answer.json() == {"text": "Hello, Ada"}
    (project,) = (
        reader.blocks
    )  # followed by tests/scaffold and the tutorial on projects
    assert "bedplate new shop" in project.code
