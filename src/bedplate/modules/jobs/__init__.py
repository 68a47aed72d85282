"""Jobs for admins: waiting, running, finished and dead ones."""

from bedplate.jobs import WorkerHeartbeat
from bedplate.module import Module
from bedplate.modules.jobs import admin
from bedplate.modules.jobs.router import router
from bedplate.modules.jobs.tasks import purge_jobs

module = Module(
    name="jobs",
    router=router,
    models=[WorkerHeartbeat],
    jobs=[purge_jobs],
    admin=[admin.job, admin.mail],
)
