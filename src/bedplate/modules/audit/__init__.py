"""The audit trail: who did what, to which account, when and from where."""

from bedplate.module import Module
from bedplate.modules.audit import admin
from bedplate.modules.audit.models import AuditEvent
from bedplate.modules.audit.router import router

module = Module(name="audit", router=router, models=[AuditEvent], admin=[admin.event])
