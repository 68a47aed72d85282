"""`bedplate.asgi:app` for any ASGI server: your application, or the example."""

import gc

from bedplate.dispatcher import with_django
from bedplate.loader import load_app


def _settle_garbage_collector() -> None:
    """Exclude the objects that start-up created from later garbage collections.

    Measured: full collections over about 80 MB of modules and models made p99 latency
    three to four times as long.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


api = load_app()
api.openapi()  # built now, so that the first request for it doesn't wait
app = with_django(api)
_settle_garbage_collector()
