"""`bedplate.asgi:app`, for any ASGI server: the project's application, or ours."""

import gc

from bedplate.dispatcher import with_django
from bedplate.loader import load_app


def _settle_garbage_collector() -> None:
    """Leave what start-up made out of every later collection.

    Full collections over some 80 MB of modules and models made p99 three to four times
    as long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


api = load_app()
api.openapi()  # made now, not while the first reader waits
app = with_django(api)
_settle_garbage_collector()
