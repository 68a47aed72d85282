"""Reads pages and submits forms like a browser, hidden fields included."""

from html.parser import HTMLParser
from typing import Any

import httpx

Fields = dict[str, Any]


class Browser:
    """A browser of the admin site. `page` is the page that it shows."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.page = httpx.Response(204)

    async def open(self, path: str, **query: str) -> httpx.Response:
        """Open a URL, and follow redirects."""
        # An empty query would replace the URL's own.
        params = query or None
        self.page = await self.client.get(path, params=params, follow_redirects=True)
        return self.page

    async def submit(self, to: str = "", /, **fields: Any) -> httpx.Response:
        """Submit the page's form, or the one whose URL ends with `to`.

        `fields` replace the form's values; `None` clears a checkbox. Returns the
        response itself. After a redirect `page` is the page that it leads to.
        """
        form = self.form(to)
        filled = {**form.fields, **fields}
        data = {name: value for name, value in filled.items() if value is not None}
        url = self.page.url.join(form.action or str(self.page.url))
        headers = {"Origin": f"{url.scheme}://{url.netloc.decode()}"}
        response = await self.client.post(url, data=data, headers=headers)
        self.page = response
        if response.is_redirect:
            await self.open(str(url.join(response.headers["location"])))
        return response

    def form(self, to: str = "") -> "Form":
        """Return the page's form, or the one whose URL ends with `to`.

        Raises:
            LookupError: there is none.
        """
        return find_form(self.page.text, to)

    async def sign_in(self, email: str, password: str) -> httpx.Response:
        await self.open("/admin/")
        return await self.submit(username=email, password=password)


class Form:
    """A form on a page: its URL, and the values of its fields."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: Fields = {}


def find_form(html: str, action: str = "") -> Form:
    """Return the form whose URL ends with `action`; of several, the largest one.

    Raises:
        LookupError: there is none.
    """
    forms = [form for form in read_forms(html) if form.action.endswith(action)]
    if not forms:
        raise LookupError(f"no form with the URL {action!r} in {html[:2000]}")
    return max(forms, key=lambda form: len(form.fields))


def read_forms(html: str) -> list[Form]:
    """Return the forms of a page that use POST."""
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
        attributes = dict(attrs)
        if tag == "form" and (attributes.get("method") or "").lower() == "post":
            self._form = Form(attributes.get("action") or "")
            self.forms.append(self._form)
        elif self._form is not None:
            self._read_field(tag, attributes, self._form.fields)

    def _read_field(self, tag: str, attributes: dict[str, Any], fields: Fields) -> None:
        name = attributes.get("name") or ""
        if tag == "input" and name and attributes.get("type") != "submit":
            is_box = attributes.get("type") in {"checkbox", "radio"}
            if not is_box or "checked" in attributes:
                fields[name] = attributes.get("value") or ("on" if is_box else "")
        elif tag == "select":
            self._select = name
        elif tag == "option" and (
            self._select not in fields or "selected" in attributes
        ):
            fields[self._select] = attributes.get("value") or ""
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
