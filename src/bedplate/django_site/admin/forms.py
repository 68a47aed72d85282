"""Forms that a service validates. Its errors are shown like any form error."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, get_args

from django import forms
from pydantic import BaseModel, ValidationError

from bedplate.admin import Form
from bedplate.core.envelope import details_of
from bedplate.core.errors import APIError, Conflict, ValidationFailed
from bedplate.database import Session
from bedplate.django_site.bridge import secrets_of
from bedplate.django_site.services import in_unit_of_work
from bedplate.runtime import Runtime

VERSION = "version"


class Stale(Conflict):
    """Another user changed the row while the form was open."""

    message = (
        "It was changed while you had the form open. Nothing was saved: "
        "reload the page and make your changes again."
    )


def add_errors(
    form: Any, error: APIError, names: Mapping[str, str] | None = None
) -> None:
    """Show each detail of an error at its field, and the others above the form."""
    for detail in error.details or ():
        name = detail.field.removeprefix("body.")
        field = (names or {}).get(name, name)
        form.add_error(field if field in form.fields else None, detail.message)
    if not error.details:
        form.add_error(None, error.message)


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]  # no generic at run time
    """A form of the fields of a schema. Validation saves the data by the service.

    `names` maps the schema's field names to the form's.
    """

    declared: Form
    names: dict[str, str]
    model_admin: Any
    caller: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if VERSION in self.fields:
            self.initial[VERSION] = self.instance.updated_at.isoformat()

    def _post_clean(self) -> None:
        """Save by the service, which replaces Django's own checks of uniqueness."""
        if self.errors:
            return
        try:
            self._save(self._validated())
        except ValidationError as error:
            details = details_of(error.errors(include_input=False))
            add_errors(self, ValidationFailed(details=details), self.names)
        except APIError as error:
            add_errors(self, error, self.names)

    def _validated(self) -> BaseModel:
        return self.declared.schema(**dict(self._values()))

    def _values(self) -> Any:
        """Yield the values of a new row, or the changed values of an existing one."""
        is_new = self.instance._state.adding  # noqa: SLF001, Django's own way
        for name, field in self.names.items():
            value = self.cleaned_data.get(field)
            if is_new and value in (None, ""):
                continue  # the schema's default applies
            if is_new or field in self.changed_data:
                yield name, getattr(value, "pk", value)

    def _save(self, data: BaseModel) -> None:
        if self.instance._state.adding:  # noqa: SLF001, Django's own way
            saved = self.model_admin.run(self.declared.save, data, self.caller)
            self.instance = self._reloaded(saved.id)
            return
        # Checked first: after a concurrent change, a value that equals the row may
        # still differ from the one that the form showed.
        self._check_version(self.instance)
        if data.model_fields_set:
            in_unit_of_work(partial(self._update, self._prepare(data)))
            self.instance = self._reloaded(self.instance.pk)

    def _prepare(self, data: BaseModel) -> Any:
        if self.declared.prepare is None:
            return data
        prepare, row_id = self.declared.prepare, self.instance.pk
        return self.model_admin.run(prepare, row_id, data, self.caller)

    async def _update(self, data: Any, session: Session, runtime: Runtime) -> None:
        row_id = self.instance.pk
        row = await session.get(self.model_admin.mapped, row_id, with_for_update=True)
        if row is not None:
            # Again, now that the row is locked against concurrent changes.
            self._check_version(row)
        service = self.model_admin.declaration.service(session, runtime)
        await self.declared.save(service, row_id, data, self.caller)

    def _check_version(self, row: Any) -> None:
        """Raise Stale if the row has changed since the form was opened."""
        version = self.cleaned_data.get(VERSION)
        if version and row.updated_at.isoformat() != version:
            raise Stale

    def _reloaded(self, row_id: Any) -> Any:
        return self._meta.model._base_manager.get(pk=row_id)  # noqa: SLF001, Django's own way

    def save(self, commit: bool = True) -> Any:
        """Return the row, which the service has already saved."""
        return self.instance

    def save_m2m(self) -> None:
        pass


def form_class(model_admin: Any, declared: Form, request: Any, *, is_new: bool) -> type:
    """Return the form class for a schema.

    Columns get Django's own form fields; other fields get one by their type.
    """
    model = model_admin.model
    columns = {f.attname: f.name for f in model._meta.concrete_fields}  # noqa: SLF001, public
    columns |= {name: name for name in columns.values()}
    names: dict[str, str] = {}
    extra: dict[str, forms.Field] = {}
    for name in declared.schema.model_fields:
        is_column = name in columns and name not in secrets_of(model_admin.mapped)
        names[name] = columns[name] if is_column else name
        if not is_column:
            extra[name] = _extra_field(declared.schema, name, is_new=is_new)
    if not is_new and hasattr(model_admin.mapped, "updated_at"):
        extra[VERSION] = forms.CharField(required=False, widget=forms.HiddenInput)
    attributes = {
        **extra,
        "declared": declared,
        "names": names,
        "model_admin": model_admin,
        "caller": request.user.caller,
    }
    base = type("RowForm", (ServiceForm,), attributes)
    return forms.modelform_factory(
        model,
        form=base,
        fields=[field for field in names.values() if field not in extra],
        formfield_callback=partial(model_admin.formfield, request),
    )


def _extra_field(schema: type[BaseModel], name: str, *, is_new: bool) -> forms.Field:
    """Return the form field for a schema field without a column, such as a password."""
    field = schema.model_fields[name]
    required = is_new and field.is_required()
    label = name.replace("_", " ").capitalize()
    if field.annotation is bool or bool in get_args(field.annotation):
        return forms.BooleanField(required=False, label=label)
    if "password" in name:
        widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})
        hint = "" if is_new else "Leave this empty to keep the current password."
        return forms.CharField(
            required=required, label=label, widget=widget, help_text=hint, strip=False
        )
    return forms.CharField(required=required, label=label)


def choice_field(field: Any, texts: Sequence[str]) -> forms.Field:
    """Return a field with the choices that the settings allow."""
    return forms.ChoiceField(
        choices=[(text, text) for text in texts],
        initial=field.default if field.has_default() else None,
    )
