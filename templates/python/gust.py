"""The thin layer between a handler and `wasi:http`. Yours to change."""

import json as _json
import traceback
from abc import abstractmethod
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import componentize_py_async_support
import wit_world
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports import wasi_http_types as http

PIECE = 64 * 1024


@dataclass
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    incoming: http.Request

    async def body(self) -> bytes:
        """All of the body. Take it once."""
        _, done = wit_world.result_unit_wasi_http_types_error_code_future(lambda: Ok(None))
        stream, _ = http.Request.consume_body(self.incoming, done)
        pieces = []
        with stream:
            while not stream.writer_dropped:
                pieces.append(await stream.read(PIECE))
        return b"".join(pieces)


@dataclass
class Answer:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def text(body: str, status: int = 200) -> Answer:
    return Answer(body.encode(), status, {"content-type": "text/plain; charset=utf-8"})


def json(value: object, status: int = 200) -> Answer:
    return Answer(_json.dumps(value).encode(), status, {"content-type": "application/json"})


class Handler(exports.Handler):
    """Derive from it under the same name and write `answer`. What it raises becomes a 500 and a log line."""

    @abstractmethod
    async def answer(self, request: Request) -> Answer: ...

    async def handle(self, request: http.Request) -> http.Response:
        try:
            return _respond(await self.answer(_read(request)))
        except Exception:
            traceback.print_exc()
            return _respond(text("internal error\n", 500))


def _read(incoming: http.Request) -> Request:
    url = urlsplit(incoming.get_path_with_query() or "/")
    method = incoming.get_method()
    if isinstance(method, http.Method_Other):
        name = method.value
    else:
        name = type(method).__name__.removeprefix("Method_").upper()
    headers = {name: value.decode("latin-1") for name, value in incoming.get_headers().copy_all()}
    return Request(name, unquote(url.path), url.query, headers, incoming)


def _respond(answer: Answer) -> http.Response:
    headers = http.Fields.from_list([(k, v.encode()) for k, v in answer.headers.items()])
    body, contents = wit_world.byte_stream()
    _, trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future(
        lambda: Ok(None)
    )
    response, _ = http.Response.new(headers, contents, trailers)
    response.set_status_code(answer.status)
    componentize_py_async_support.spawn(_write(body, answer.body))
    return response


async def _write(body, answer: bytes) -> None:
    with body:
        await body.write_all(answer)
