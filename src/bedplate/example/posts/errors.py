from bedplate.core.errors import NotFound


class PostNotFound(NotFound):
    message = "There is no such post"
