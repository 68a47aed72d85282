"""Reads pages and sends forms as a browser does, hidden fields included."""

from html.parser import HTMLParser
from typing import Any

import httpx

Fields = dict[str, Any]


class Browser:
    """Somebody in front of the admin site; `page` is what they see."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page = httpx.Response(204)

    async def open(self, path: str, **query: str) -> httpx.Response:
        """Go to an address, and where it leads."""
        # An empty query would take the place of the address's own.
        params = query or None
        self.page = await self.client.get(path, params=params, follow_redirects=True)
        return self.page

    async def submit(self, to: str = "", /, **fields: Any) -> httpx.Response:
        """Send the page's form, or the one to an address, with these fields changed.

        `None` clears a checkbox. The answer isn't followed: `page` is what it leads to.
        """
        form = self.form(to)
        filled = {**form.fields, **fields}
        data = {name: value for name, value in filled.items() if value is not None}
        url = self.page.url.join(form.action or str(self.page.url))
        headers = {"Origin": f"{url.scheme}://{url.netloc.decode()}"}
        answer = await self.client.post(url, data=data, headers=headers)
        self.page = answer
        if answer.is_redirect:
            await self.open(str(url.join(answer.headers["location"])))
        return answer

    def form(self, to: str = "") -> "Form":
        """The page's form, or the one to an address.

        Raises:
            LookupError: the page has none.
        """
        return find_form(self.page.text, to)

    async def sign_in(self, email: str, password: str) -> httpx.Response:
        await self.open("/admin/")
        return await self.submit(username=email, password=password)


class Form:
    """A form as it is shown: where it goes, and what its fields hold."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: Fields = {}


def find_form(html: str, action: str = "") -> Form:
    """The form whose address ends so, or the one with the most fields.

    Raises:
        LookupError: the page has none.
    """
    forms = [form for form in read_forms(html) if form.action.endswith(action)]
    if not forms:
        raise LookupError(f"no form to {action!r} in {html[:2000]}")
    return max(forms, key=lambda form: len(form.fields))


def read_forms(html: str) -> list[Form]:
    """The forms of a page that change something."""
    reader = _FormReader()
    reader.feed(html)
    return reader.forms


class _FormReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._form: Form | None = None
        self._select = ""
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form" and (given.get("method") or "").lower() == "post":
            self._form = Form(given.get("action") or "")
            self.forms.append(self._form)
        elif self._form is not None:
            self._read_field(tag, given, self._form.fields)

    def _read_field(self, tag: str, given: dict[str, Any], fields: Fields) -> None:
        name = given.get("name") or ""
        if tag == "input" and name and given.get("type") != "submit":
            is_box = given.get("type") in {"checkbox", "radio"}
            if not is_box or "checked" in given:
                fields[name] = given.get("value") or ("on" if is_box else "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and (self._select not in fields or "selected" in given):
            fields[self._select] = given.get("value") or ""
        elif tag == "textarea":
            self._textarea = name
            fields[name] = ""

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._textarea:
            self._form.fields[self._textarea] += data.removeprefix("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = ""
