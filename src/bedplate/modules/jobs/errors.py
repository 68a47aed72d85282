from bedplate.core.errors import Conflict, NotFound


class JobNotFound(NotFound):
    message = "The job does not exist"


class JobNotDead(Conflict):
    code = "JOB_NOT_DEAD"
    message = "Only a job that used up its attempts can be retried"


class JobRunning(Conflict):
    code = "JOB_RUNNING"
    message = "A running job can't be discarded"
