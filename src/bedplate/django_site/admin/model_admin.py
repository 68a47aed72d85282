"""The `ModelAdmin` of a model that a module declares."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import CASCADE, OuterRef, Q, Subquery
from django.http import Http404, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.text import slugify
from django.views.decorators.http import require_POST

from bedplate.admin import Act, Action, Admin
from bedplate.caller import Caller
from bedplate.core.errors import APIError
from bedplate.django_site.admin.forms import choice_field, form_class
from bedplate.django_site.api.conditions import EVERYTHING, to_q
from bedplate.django_site.bridge import (
    label_field,
    model_of,
    model_of_table,
    secrets_of,
)
from bedplate.django_site.conf import APP
from bedplate.django_site.services import call_service, host
from bedplate.modules.audit.models import AuditEvent

_PER_PAGE = 50


class Related(NamedTuple):
    """The number of rows that refer to a row, and the URL of their list."""

    label: str
    total: int
    url: str


class ServiceModelAdmin(ModelAdmin):  # type: ignore[type-arg]  # no generic at run time
    """Django's `ModelAdmin`, with a service as the only writer.

    Without declared forms and actions a model is read-only.
    """

    declaration: Admin
    mapped: Any
    group: str
    """The name of the module that owns the table."""
    list_per_page = _PER_PAGE
    show_full_result_count = False
    view_on_site = False
    change_form_template = "bedplate/change_form.html"

    # Permissions

    def _is_theirs(self, request: Any) -> bool:
        caller: Caller | None = getattr(request.user, "caller", None)
        if caller is None or not request.user.is_staff:
            return False
        permission = self.declaration.permission
        return caller.is_admin or (permission is not None and caller.may(permission))

    def has_view_permission(self, request: Any, obj: Any = None) -> bool:
        return self._is_theirs(request)

    def has_module_permission(self, request: Any) -> bool:
        return self._is_theirs(request)

    def has_add_permission(self, request: Any) -> bool:
        return self.declaration.create is not None and self._is_theirs(request)

    def has_change_permission(self, request: Any, obj: Any = None) -> bool:
        return self.declaration.update is not None and self._is_theirs(request)

    def has_delete_permission(self, request: Any, obj: Any = None) -> bool:
        return self.declaration.delete is not None and self._is_theirs(request)

    # Writing

    def run(self, act: Act, *arguments: Any, action: Action | None = None) -> Any:
        """Call a method of the service with these arguments.

        Raises:
            APIError: an error of the service.
        """
        service = (action and action.service) or self.declaration.service
        assert service is not None  # otherwise the declaration is wrong
        return call_service(service, lambda instance: act(instance, *arguments))

    def changeform_view(
        self,
        request: Any,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        # Skips Django's public method, which holds a transaction open. On SQLite the
        # service, which writes on another connection, would wait for its end.
        return self._changeform_view(request, object_id, form_url, extra_context)  # type: ignore[attr-defined]  # not in the stubs

    def delete_view(
        self, request: Any, object_id: str, extra_context: Any = None
    ) -> Any:
        # Without Django's transaction, as in `changeform_view`.
        try:
            return self._delete_view(request, object_id, extra_context)  # type: ignore[attr-defined]  # not in the stubs
        except APIError as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(address(self.model, "change", object_id))

    def save_model(self, *_: Any) -> None:
        """Do nothing: the form has saved the row."""

    def save_related(self, *_: Any) -> None:
        """Do nothing: the service has saved related rows."""

    def delete_model(self, request: Any, obj: Any) -> None:
        delete = self.declaration.delete
        assert delete is not None  # otherwise Django has refused the request
        self.run(delete, obj.pk, request.user.caller)

    def get_deleted_objects(self, objs: Any, request: Any) -> Any:
        """Return the numbers of rows that the database will delete with these."""
        # Counts rows that the caller may not see, too: they are deleted as well.
        counts = [
            _related_rows(relation, obj, relation.related_model.objects.all())
            for obj in objs
            for relation in _relations(self.admin_site, obj)
            if relation.on_delete is CASCADE
        ]
        totals = {related.label: related.total for related in counts if related.total}
        return [*map(str, objs)], totals, set(), []

    def log_addition(self, request: Any, obj: Any, message: Any) -> Any:
        """Do nothing: the service writes the audit trail. The next two do the same."""

    def log_change(self, request: Any, obj: Any, message: Any) -> Any: ...

    def log_deletions(self, request: Any, queryset: Any) -> Any: ...

    # Showing

    def get_queryset(self, request: Any) -> Any:
        """Return the visible rows, with labels of linked rows and without secrets."""
        only, without = self.declaration.only, self.declaration.without
        rows = super().get_queryset(request).filter(self._visible_to(request), **only)
        rows = rows.exclude(**without) if without else rows
        labels = {
            f"{n}_label": _label_of(t, n) for n, t in self.declaration.links.items()
        }
        return rows.defer(*secrets_of(self.mapped)).annotate(**labels)

    def _visible_to(self, request: Any) -> Q:
        """Return the condition of the rows that the caller may see."""
        if self.declaration.scope is None:
            return EVERYTHING
        scope, values = self.declaration.scope(request.user.caller)
        return to_q(self.mapped, scope.condition, values)

    def get_field_queryset(self, db: Any, db_field: Any, request: Any) -> Any:
        """Offer only those rows of another table that the caller may see."""
        other = self.admin_site._registry.get(db_field.remote_field.model)  # noqa: SLF001, Django's own does so
        if isinstance(other, ServiceModelAdmin):
            return other.get_queryset(request)
        return super().get_field_queryset(db, db_field, request)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Forbid filters on secrets, which could be guessed that way."""
        if lookup.partition("__")[0] in secrets_of(self.mapped):
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_changelist(self, request: Any, **options: Any) -> Any:
        return ServiceChangeList

    def get_fieldsets(self, request: Any, obj: Any = None) -> Any:
        editable = self._editable_fields(request, obj)
        readonly = [] if obj is None else self.get_readonly_fields(request, obj)
        if not editable:
            return [(None, {"fields": readonly})]
        more = [("More", {"fields": readonly})] if readonly else []
        return [(None, {"fields": editable}), *more]

    def _editable_fields(self, request: Any, obj: Any) -> list[str]:
        declared = self._declared_form(request, obj)
        if declared is None:
            return []
        form: Any = form_class(self, declared, request, is_new=obj is None)
        return list(form.base_fields)

    def _declared_form(self, request: Any, obj: Any) -> Any:
        return self.declaration.create if obj is None else self.declaration.update

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        """Return the columns that aren't in the form; foreign keys as links."""
        if obj is None:
            return []
        hidden = {*self._editable_fields(request, obj), *secrets_of(self.mapped)}
        names = [field.name for field in self.opts.concrete_fields]
        return [self._column(name) for name in names if name not in hidden]

    def _column(self, name: str) -> str:
        return f"link_{name}" if hasattr(self, f"link_{name}") else name

    def get_form(
        self, request: Any, obj: Any = None, change: bool = False, **options: Any
    ) -> Any:
        declared = self._declared_form(request, obj)
        if declared is None:
            return super().get_form(request, obj, change, **options)
        return form_class(self, declared, request, is_new=obj is None)

    def formfield(self, request: Any, field: Any, **options: Any) -> Any:
        """Return the form field of a column."""
        if texts := self.declaration.choices.get(field.name):
            return choice_field(field, texts(host().runtime.settings))
        return self.formfield_for_dbfield(field, request, **options)

    def render_change_form(
        self,
        request: Any,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None:
            context |= {
                "row_actions": self._row_actions(obj),
                "related": list(self._related(request, obj)),
                "details": self._details(obj),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _related(self, request: Any, obj: Any) -> Iterator[Related]:
        """Yield the rows that refer to a row and that the caller may see."""
        for relation in _relations(self.admin_site, obj):
            admin: Any = self.admin_site._registry[relation.related_model]  # noqa: SLF001, public in all but name
            if admin.has_view_permission(request):
                yield _related_rows(relation, obj, admin.get_queryset(request))

    def _row_actions(self, obj: Any) -> list[tuple[Action, str]]:
        return [
            (action, address(self.model, "act", obj.pk, slugify(action.label)))
            for action in self.declaration.actions
            if action.when is None or action.when(obj)
        ]

    def _details(self, obj: Any) -> dict[str, Any]:
        return dict(self.details_of([obj]).get(obj.pk, {}))

    def details_of(self, objs: Sequence[Any]) -> Any:
        """Return the service's details of rows: texts by label, by id."""
        details = self.declaration.details
        return self.run(details, [obj.pk for obj in objs]) if details and objs else {}

    def history_view(
        self, request: Any, object_id: str, extra_context: Any = None
    ) -> Any:
        """Redirect to the audit trail of the row, which replaces Django's own log."""
        events = address(model_of(AuditEvent), "changelist")
        return HttpResponseRedirect(f"{events}?subject_id={unquote(object_id)}")

    # Actions

    def get_urls(self) -> Any:
        view = self.admin_site.admin_view(self.act_view)
        name = f"{APP}_{self.opts.model_name}_act"
        return [
            path("<path:object_id>/act/<slug:name>/", view, name=name),
            *super().get_urls(),
        ]

    @method_decorator(require_POST)
    def act_view(self, request: Any, object_id: str, name: str) -> Any:
        """Run an action on one row."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        action = self._actions_by_name().get(name)
        obj = self.get_object(request, unquote(object_id))
        if action is None or obj is None:
            raise Http404
        self._act(request, action, obj)
        # The action may have deleted the row.
        exists = self.get_object(request, unquote(object_id)) is not None
        page = ("change", object_id) if exists else ("changelist",)
        return HttpResponseRedirect(address(self.model, *page))

    def _actions_by_name(self) -> dict[str, Action]:
        return {slugify(action.label): action for action in self.declaration.actions}

    def get_actions(self, request: Any) -> Any:
        """Return the declared actions, to run on each selected row of the list."""
        return {
            name: (partial(_act_on_all, action), name, action.label)
            for name, action in self._actions_by_name().items()
        }

    def _act(self, request: Any, action: Action, obj: Any) -> bool:
        """Run an action, and show a message about its result."""
        try:
            self.run(action.do, obj.pk, request.user.caller, action=action)
        except APIError as error:
            messages.error(request, f"{action.label}: {obj}. {error.message}")
            return False
        messages.success(request, f"{action.label}: {obj}")
        return True


def _act_on_all(action: Action, model_admin: Any, request: Any, queryset: Any) -> None:
    for obj in queryset:
        model_admin._act(request, action, obj)  # noqa: SLF001, same module


def address(model: Any, page: str, *arguments: Any) -> str:
    """Return the URL of a page of a model's admin."""
    name = f"admin:{APP}_{model._meta.model_name}_{page}"  # noqa: SLF001, public
    return reverse(name, args=[quote(argument) for argument in arguments])


def _relations(site: AdminSite, obj: Any) -> Iterator[Any]:
    """Yield the foreign keys to a row from tables that the site shows."""
    for relation in obj._meta.related_objects:  # noqa: SLF001, public
        if site.is_registered(relation.related_model):
            yield relation


def _related_rows(relation: Any, obj: Any, rows: Any) -> Related:
    """Count the rows that refer to a row by a foreign key."""
    model, name = relation.related_model, relation.field.name
    count = rows.filter(**{name: obj}).count()
    key = relation.field.target_field.name
    url = f"{address(model, 'changelist')}?{name}__{key}__exact={obj.pk}"
    return Related(str(model._meta.verbose_name_plural).capitalize(), count, url)  # noqa: SLF001, public


class ServiceChangeList(ChangeList):
    """A page of rows, with the service's details of all of them from one call."""

    def get_results(self, request: Any) -> None:
        super().get_results(request)
        model_admin: Any = self.model_admin
        if model_admin.declaration.list_details:
            self.result_list: Any = list(self.result_list)
            details = model_admin.details_of(self.result_list)
            for row in self.result_list:
                row.service_details = details.get(row.pk, {})


def detail_column(label: str) -> Callable[..., str]:
    """Return a column of one of the service's details."""

    def column(_admin: Any, row: Any) -> str:
        return str(row.service_details.get(label, "-"))

    column.short_description = label  # type: ignore[attr-defined]  # Django reads it
    return column


def _label_of(table: str, name: str) -> Subquery:
    """Return the label of the row whose id a column holds, or NULL if it is deleted."""
    model = model_of_table(table)
    rows = model.objects.filter(pk=OuterRef(name)).order_by()
    return Subquery(rows.values(label_field(model))[:1])


def link_to(name: str, table: str, description: str) -> Callable[..., str]:
    """Return a column that shows another row's id as a link with that row's label."""
    model = model_of_table(table)

    def link(_admin: Any, row: Any) -> str:
        row_id, label = getattr(row, name), getattr(row, f"{name}_label", None)
        if row_id is None or label is None:
            return str(row_id or "-")  # no row, or a deleted one
        return _link(model, row_id, label)

    return _column(link, name, description)


def foreign_key_link(name: str, model: Any, description: str) -> Callable[..., str]:
    """Return a column that shows a foreign key as a link with the row's label."""

    def link(_admin: Any, row: Any) -> str:
        other = getattr(row, name)
        return "-" if other is None else _link(model, other.pk, other)

    return _column(link, name, description)


def _link(model: Any, row_id: Any, label: Any) -> str:
    url = address(model, "change", row_id)
    return format_html('<a href="{}">{}</a>', url, label)


def _column(show: Any, name: str, description: str) -> Callable[..., str]:
    show.short_description = description
    show.admin_order_field = name
    column: Callable[..., str] = show
    return column
