from bedplate.admin import Admin
from bedplate.modules.audit.models import AuditEvent

event = Admin(
    AuditEvent,
    list_display=["created_at", "action", "actor_id", "subject_id", "ip"],
    list_filter=["action", "created_at"],
    search=["action", "ip", "request_id"],
    ordering=["-created_at", "-id"],
    links={"actor_id": "users", "subject_id": "users"},
)
