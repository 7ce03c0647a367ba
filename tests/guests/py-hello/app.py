"""Shows a Python function that answers through wasi:http/incoming-handler@0.2; /log prints, /raise fails."""

import sys

from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingRequest,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = request.path_with_query()
        if path == "/raise":
            raise RuntimeError("asked to fail")
        if path == "/log":
            print("to stdout: 你好，世界")
            print("to stderr: 出错了 (not really)", file=sys.stderr)

        response = OutgoingResponse(Fields.from_list([("content-type", b"text/plain")]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            stream.blocking_write_and_flush(b"Hello from Python on Gust\n")
        OutgoingBody.finish(body, None)
