"""What stands before gradio: lets through what this app uses, within limits.

Gradio has routes that nothing here needs, among them one that runs FFmpeg on any upload. Only the
routes in `ROUTES` are open. Bodies are counted while they arrive, with or without a Content-Length.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import time
from collections.abc import Callable

from gradio.route_utils import FnIndexInferError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from toonify.ui import health, i18n, visitors

LOG = logging.getLogger("toonify.ui")
KB, MB = 2**10, 2**20
MAX_UPLOAD = 102 * MB  # a video of 100 MB and its envelope
MAX_JSON = 24 * MB  # base64 of a photo of 17 MB; larger ones are uploaded
MCP = r"/gradio_api/mcp/?"  # for programs that speak the Model Context Protocol; off by default
# Method and path -> the largest body. Everything else is closed.
ROUTES: dict[str, list[tuple[str, int]]] = {
    "GET": [
        (r"/", 0),
        (r"/(config|theme\.css|favicon\.ico|robots\.txt|manifest\.json|health)/?", 0),
        (r"/(assets|static|svelte)/.+", 0),
        (r"/pwa_icon(/\d+)?", 0),
        (r"/gradio_api/(info|openapi\.json|startup-events|theme\.css|app_id|upload_progress)/?", 0),
        (r"/gradio_api/queue/(data|status)", 0),
        (r"/gradio_api/call/(v2/)?\w+/[0-9a-f]{32}", 0),
        (r"/gradio_api/heartbeat/\w+", 0),
        (r"/gradio_api/file=.+", 0),
        (MCP, 0),
    ],
    "POST": [
        (r"/gradio_api/upload", MAX_UPLOAD),
        (r"/gradio_api/queue/join", MAX_JSON),
        (r"/gradio_api/call/(v2/)?\w+/?", MAX_JSON),
        (r"/gradio_api/stream/[0-9a-f]{32}", 4 * MB),
        (r"/gradio_api/stream/[0-9a-f]{32}/close", KB),
        (r"/gradio_api/(run|api)/\w+/?", MB),
        (r"/gradio_api/(cancel|reset)/?", 16 * KB),
        (MCP, MAX_JSON),
    ],
    "DELETE": [(MCP, 0)],
}
ROUTES["HEAD"] = ROUTES["GET"]
COMPILED = {
    method: [(re.compile(path), limit) for path, limit in routes]
    for method, routes in ROUTES.items()
}
FORWARDED = (b"forwarded", b"x-forwarded-for")
MAX_FILES = 100  # of one upload
MAX_BODY_S = 300  # until a body is complete
MAX_OPEN = 128  # requests of one visitor at a time; an open page has two
MAX_BUFFERED = 128 * MB  # JSON of all visitors at a time
UPLOADS, UPLOADED = 240, 500 * MB  # of a visitor in ten minutes
CALLS = 2400  # of a visitor in ten minutes
# Of a refused body: many programs send all before they read.
MAX_DRAINED, MAX_DRAIN_S = 32 * MB, 5.0
CLIENT_CLOSED = 499  # in the log, as nginx has it
# What gradio raises on requests that do not fit.
BROKEN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, FnIndexInferError)
SPACE = " https://huggingface.co https://*.hf.space" if "SPACE_ID" in os.environ else ""
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    # Gradio's page has inline scripts, and compiles the JavaScript of events.
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
        " media-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:;"
        f" object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'{SPACE}"
    ),
}


class Refusal(Exception):
    """A request is not passed on.

    Args:
        status: of the answer.
        reason: one sentence for the visitor.
    """

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Body:
    """Counts a request's body while it arrives.

    Args:
        receive: gives the next part.
        limit: bytes.
        on_bytes: called with this object and the length of each part; may raise a `Refusal`.
        counts_files: whether the files of a form are counted.
    """

    def __init__(self, receive: Receive, limit: int, on_bytes: Callable, counts_files: bool):
        self._receive = receive
        self.limit = limit
        self.on_bytes = on_bytes
        self.counts_files = counts_files
        self.size, self.files = 0, 0
        self.buffered = 0  # bytes of it that the gateway counts as kept in memory
        self.refusal: Refusal | None = None
        self._tail = b""
        self._deadline = time.monotonic() + MAX_BODY_S
        self._complete = False

    async def receive(self) -> Message:
        """Return the next part; raises a `Refusal` beyond the limits."""
        if self.refusal is not None:
            raise self.refusal
        try:
            return await self._receive_part()
        except Refusal as refusal:
            self.refusal = refusal
            raise

    async def _receive_part(self) -> Message:
        if self._complete:  # what comes now is the end of the connection
            return await self._receive()
        try:
            left = max(0.0, self._deadline - time.monotonic())
            message = await asyncio.wait_for(self._receive(), left)
        except TimeoutError:
            raise Refusal(408, "The request took too long to arrive.") from None
        part = message.get("body", b"")
        self._complete = not message.get("more_body", False)
        self.size += len(part)
        if self.size > self.limit:
            raise Refusal(413, describe_limit(self.limit))
        if self.counts_files:
            window = self._tail + part
            self.files += window.count(b"filename=")
            self._tail = window[-8:]
            if self.files > MAX_FILES:
                raise Refusal(413, f"Upload at most {MAX_FILES} files at a time.")
        self.on_bytes(self, len(part))
        return message


class Gateway:
    """ASGI middleware before gradio.

    Args:
        app: what requests are passed on to.
    """

    def __init__(self, app: ASGIApp):
        self.app = app
        self.open = visitors.Places(MAX_OPEN)
        self.uploads = visitors.Allowance(UPLOADS)
        self.uploaded = visitors.Allowance(UPLOADED)
        self.calls = visitors.Allowance(CALLS)
        self.buffered = 0  # bytes of JSON that arrive or are being read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return  # websockets are not used
        visitor, start = visitors.identify(scope), time.monotonic()
        answer = Answer(send)
        if not self.open.enter(visitor):
            refusal = Refusal(429, "You have too many requests in progress. Try again in a moment.")
            await answer.refuse(refusal, scope, receive)
        else:
            try:
                await self.pass_on(scope, receive, answer, visitor)
            finally:
                self.open.leave(visitor)
        if scope["method"] == "POST" or answer.status >= 400:
            log_request(scope, answer.status, time.monotonic() - start)

    async def pass_on(self, scope: Scope, receive: Receive, answer: "Answer", visitor: str) -> None:
        """Check a request, pass it on, and send the answer."""
        body = None
        try:
            limit = find_limit(scope)
            scope = name_caller(scope)
            if get_path(scope) == "/health":
                await health.answer(scope)(scope, receive, answer.send)
                return
            scope["app"].get_blocks().last_request = time.monotonic()
            body = self.make_body(scope, receive, limit, visitor)
            answer.body = body
            await self.app(scope, body.receive, answer.send)
        except Refusal as refusal:
            await answer.refuse(refusal, scope, receive)
        except ClientDisconnect:  # in the middle of an upload: there is nobody to answer
            answer.status = answer.status or CLIENT_CLOSED
        except BROKEN:
            if body is not None and body.refusal is not None:
                await answer.refuse(body.refusal, scope, receive)
            elif answer.status or scope["method"] != "POST":
                raise
            else:  # while reading the request: functions run in the queue
                wrong = Refusal(400, "The request does not fit this function.")
                await answer.refuse(wrong, scope, receive)
        finally:
            self.buffered -= body.buffered if body is not None else 0
        if body is not None and body.refusal is not None and not answer.status:
            await answer.refuse(body.refusal, scope, receive)

    def make_body(self, scope: Scope, receive: Receive, limit: int, visitor: str) -> Body:
        """Return what counts the request's body."""
        declared = parse_length(scope)
        if declared > limit:
            raise Refusal(413, describe_limit(limit))
        upload = get_path(scope).endswith("/upload")
        if scope["method"] == "POST":
            allowance = self.uploads if upload else self.calls
            if "/stream/" not in get_path(scope) and not allowance.take(visitor):
                raise Refusal(429, "You sent too many requests. Try again in ten minutes.")
        if upload:
            cleaner = scope["app"].get_blocks().cleaner
            if not cleaner.has_room(declared or limit):
                raise Refusal(507, "The server has no room for uploads. Try again in an hour.")

        def count(body: Body, size: int) -> None:
            if upload:
                if not self.uploaded.take(visitor, size):
                    raise Refusal(429, "You uploaded too much. Try again in ten minutes.")
                return
            if self.buffered + size > MAX_BUFFERED:
                raise Refusal(503, "The server is busy. Try again in a minute.")
            self.buffered += size
            body.buffered += size

        return Body(receive, limit, count, upload)


class Answer:
    """Sends an answer with the security headers, or a refusal instead of it."""

    def __init__(self, send: Send):
        self._send = send
        self.status = 0  # until it begins
        self.body: Body | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the answer to a body that was refused is dropped."""
        if self.body is not None and self.body.refusal is not None and not self.status:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)

    async def refuse(self, refusal: Refusal, scope: Scope, receive: Receive) -> None:
        """Answer with a refusal, unless another answer has begun."""
        if self.status:
            return
        self.body = None
        upload = get_path(scope).endswith("/upload")  # gradio's page shows the text of its answer
        kind = PlainTextResponse if upload else JSONResponse
        language = i18n.choose_language(Headers(scope=scope).get("accept-language"))
        with i18n.use_language(language):
            reason = i18n.translate(refusal.reason)
        response: Response = kind(reason if upload else {"detail": reason})
        post = scope["method"] == "POST"
        headers = (
            [*response.raw_headers, (b"connection", b"close")] if post else response.raw_headers
        )
        await self.send(
            {"type": "http.response.start", "status": refusal.status, "headers": headers}
        )
        await self.send({"type": "http.response.body", "body": response.body, "more_body": True})
        if post:
            await drain(receive)
        await self.send({"type": "http.response.body", "body": b""})


async def drain(receive: Receive) -> None:
    """Read on for a moment, so that the sender gets the answer before the connection closes."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_DRAIN_S):
            while size < MAX_DRAINED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def get_path(scope: Scope) -> str:
    """Return the path below the address under which a proxy shows the app."""
    return scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))


def find_limit(scope: Scope) -> int:
    """Return the largest body of a request; raises a `Refusal` if its route is closed."""
    path = get_path(scope)
    if not path.isprintable():
        raise Refusal(400, "The address has control characters.")
    for pattern, limit in COMPILED.get(scope["method"], ()):
        if pattern.fullmatch(path):
            if pattern.pattern == MCP and not scope["app"].get_blocks().mcp_server:
                break
            called = re.match(r"/gradio_api/(?:call/(?:v2/)?|run/|api/)(\w+)", path)
            if called and not has_function(scope, called[1]):
                break
            event = re.search(r"/([0-9a-f]{32})$", path) if called else None
            if event and scope["method"] == "GET" and not has_event(scope, event[1]):
                raise Refusal(404, "This result does not exist, or it was fetched already.")
            return limit
    raise Refusal(404, "There is nothing here.")


def name_caller(scope: Scope) -> Scope:
    """Return the scope of an MCP request with the caller's address as the only one it names.

    Gradio passes the headers on to the app itself, for which the caller would else be this machine.
    """
    client = scope.get("client")
    if client is None or not re.fullmatch(MCP, get_path(scope)):
        return scope
    headers = [pair for pair in scope["headers"] if pair[0] not in FORWARDED]
    return {**scope, "headers": [*headers, (b"x-forwarded-for", client[0].encode())]}


def has_event(scope: Scope, name: str) -> bool:
    """Return whether a call's result is awaited; gradio finds that out within its answer."""
    return name in scope["app"].get_blocks()._queue.pending_messages_per_session


def has_function(scope: Scope, name: str) -> bool:
    """Return whether the page has an endpoint of that name."""
    if name == "predict":  # what gradio's page calls, with the function's number
        return True
    return any(fn.api_name == name for fn in scope["app"].get_blocks().fns.values())


def parse_length(scope: Scope) -> int:
    """Return the declared length of the body, 0 if there is none."""
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() else 0


def describe_limit(limit: int) -> str:
    """Say how large a body may be."""
    size = f"{limit // MB} MB" if limit >= MB else f"{limit // KB} KB"
    return f"The request is too large: expected at most {size}."


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Write a line without addresses, file names or content."""
    path = get_path(scope)
    names = "upload|queue|call|run|api|stream|cancel|reset|mcp|health"
    route = re.match(rf"/(?:gradio_api/)?({names})\b", path)
    line = {"event": "request", "method": scope["method"], "route": route[1] if route else "other"}
    LOG.info(json.dumps({**line, "status": status, "took_s": round(seconds, 3)}))
