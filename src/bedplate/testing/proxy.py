"""A TCP proxy for tests: it forwards, stalls silently, or resets connections."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

_CHUNK = 1 << 16


class TcpProxy:
    """Forwards connections to a local port.

    with TcpProxy(5432) as proxy:
        connect(proxy.port)
        proxy.stall()    # packets are held back, without an error
        proxy.resume()   # they arrive
        proxy.cut()      # connections are reset

    Listens on 127.0.0.1, on a free port.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self.cut()
        self.resume()

    def stall(self) -> None:
        """Hold back all data, in both directions, also of new connections."""
        self._flows.clear()

    def resume(self) -> None:
        """Forward again, starting with the data that was held back."""
        self._flows.set()

    def cut(self) -> None:
        """Reset every connection."""
        for connection in list(self._sockets):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        for client in self._clients():
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                pump = threading.Thread(target=self._pump, args=(source, sink))
                pump.daemon = True
                pump.start()

    def _clients(self) -> Iterator[socket.socket]:
        while True:
            try:
                yield self._listener.accept()[0]
            except OSError:  # the listener is closed
                return

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
