"""The server of `lesion view`: this machine alone, and nothing that a page could fetch elsewhere.

It answers GET and HEAD, and one POST, of a text that a model reads; that one is refused to pages of other origins.
Starlette and uvicorn are the optional extra `view`, so they are imported where they are used.
"""

# ruff: noqa: PLC0415  (an optional extra)

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lesion.errors import InputError, LesionError
from lesion.report.view.files import file_of
from lesion.report.view.home import Wanted
from lesion.report.view.look import MOST_BYTES, Busy, Reader, asked_of, require_own_page, require_reader
from lesion.report.view.pages import ASSETS, asset, compare_page, error_page, list_page, look_page, run_page

Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application: scope, receive, send."""

ADDRESS = "127.0.0.1"
HOSTS = ["localhost", "127.0.0.1"]
"""Host headers that are answered: a page elsewhere whose name leads here gets nothing (DNS rebinding)."""
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
INSTALL = "lesion view needs the extra 'view': pip install 'lesion[view]'"


def require_extra() -> None:
    """Make sure that the server can be started.

    Raises:
        InputError: when Starlette or uvicorn is not installed.
    """
    try:
        import starlette
        import uvicorn
    except ImportError as error:
        raise InputError(INSTALL) from error
    del starlette, uvicorn


def application(home: Path, reader: Reader | None = None) -> Application:
    """The application that serves a home folder.

    Args:
        home: where `runs/` is.
        reader: reads texts with the models of this machine; nothing: no model is asked.
    """
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def page(make: Callable[[Request], str]) -> Callable[[Request], Response]:
        return lambda request: HTMLResponse(make(request), headers=_headers(POLICY))

    def runs(request: Request) -> str:
        return list_page(home, Wanted(*(request.query_params.get(name, "") for name in Wanted._fields)))

    def run(request: Request) -> str:
        return run_page(home, request.path_params["run"], reader)

    def look(request: Request) -> str:
        return look_page(home, reader, dict(request.query_params))

    async def read(request: Request) -> Response:
        try:
            require_own_page(request.headers)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 403, headers=_headers(POLICY))
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": "the text is too long"}, 413, headers=_headers(POLICY))
        try:
            document = await run_in_threadpool(lambda: _read(reader, body))
        except LesionError as error:
            status = 429 if isinstance(error, Busy) else 422
            return JSONResponse({"error": str(error)}, status, headers=_headers(POLICY))
        return JSONResponse(document, headers=_headers(POLICY))

    def compare(request: Request) -> str:
        return compare_page(home, *(request.query_params.get(name, "") for name in ("first", "second")))

    def file(request: Request) -> Response:
        served = file_of(home, request.path_params["run"], request.path_params["name"])
        headers = _headers(served.policy)
        named = served.path.name if served.download else None
        return FileResponse(served.path, media_type=served.media, headers=headers, filename=named)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        return Response(asset(name), media_type=ASSETS[name], headers=_headers(POLICY))

    def wrong(_: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, InputError) else 422
        title = "Not found" if status == 404 else "This cannot be shown"
        return HTMLResponse(error_page(title, str(error)), status, headers=_headers(POLICY))

    def refused(_: Request, error: Any) -> Response:
        sentence = "There is no such page." if error.status_code == 404 else "This server only shows pages."
        headers = _headers(POLICY) | dict(error.headers or {})
        return HTMLResponse(error_page("Not found", sentence), error.status_code, headers=headers)

    return Starlette(
        routes=[
            Route("/", page(runs)),
            Route("/compare", page(compare)),
            Route("/look", page(look)),
            Route("/look", read, methods=["POST"]),
            Route("/runs/{run}", page(run)),
            Route("/runs/{run}/{name:path}", file),
            Route("/assets/{name:path}", static),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
        exception_handlers={LesionError: wrong, OSError: wrong, 404: refused, 405: refused},
    )


def _read(reader: Reader | None, body: bytes) -> Any:
    able = require_reader(reader)
    return able.read(asked_of(able, body))


def _headers(policy: str) -> dict[str, str]:
    return {**HEADERS, "Content-Security-Policy": policy}


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address.

    Args:
        port: its number; 0 takes a free one.

    Raises:
        InputError: when the port is taken or may not be used.
    """
    try:
        return socket.create_server((ADDRESS, port))
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"--port {port}: cannot be used ({said}); --port 0 takes a free one") from error


def serve(home: Path, on: socket.socket, reader: Reader | None = None) -> None:
    """Answer requests until the process is interrupted.

    Args:
        home: where `runs/` is.
        on: from `listen`.
        reader: reads texts with the models of this machine.
    """
    import uvicorn

    settings = uvicorn.Config(
        application(home, reader), lifespan="off", ws="none", access_log=False, log_level="warning", server_header=False
    )
    uvicorn.Server(settings).run(sockets=[on])
