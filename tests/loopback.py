"""A real HTTP server on loopback whose answers a test scripts by path."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


def answering(body: bytes, *, status: int = 200, length: int | None = None, **headers: str) -> Answer:
    """Answer with `body`; `length` announces another length than it has."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def serving(routes: dict[str, Answer]) -> Iterator[str]:
    """Serve `routes` (path without query -> answer), 404 otherwise; give the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                routes.get(self.path.split("?")[0], answering(b"not here", status=404))(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
