// The thin layer between a handler and `wasi:http`. Yours to change.

import { Fields, Request, Response } from 'wasi:http/types@0.3.0';
import stderr from 'wasi:cli/stderr@0.3.0';
import stdout from 'wasi:cli/stdout@0.3.0';

// Makes an exported handler of an async function from request to answer. What it throws becomes a 500 and a log line.
export function serve(answer) {
  return {
    async handle(incoming) {
      try {
        return respond(await answer(read(incoming)));
      } catch (e) {
        // An interface's own error lies in `payload`.
        const what = e.payload === undefined ? String(e) : JSON.stringify(e.payload);
        console.error(`${what}\n${e.stack ?? ''}`);
        return respond(text('internal error\n', 500));
      }
    },
  };
}

// An answer: `body` is a string, bytes, or an async iterable of bytes that is streamed.
export function text(body, status = 200) {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, body };
}

export function json(value, status = 200) {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) };
}

// UTF-8, which the engine does not bring.
export function encode(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (c) => c.charCodeAt(0));
}

export function decode(bytes) {
  return decodeURIComponent(escape(Array.from(bytes, (b) => String.fromCharCode(b)).join('')));
}

function read(incoming) {
  const [path, query = ''] = (incoming.getPathWithQuery() ?? '/').split(/\?(.*)/s);
  const method = incoming.getMethod();
  const fields = incoming.getHeaders().copyAll();
  return {
    method: (method.val ?? method.tag).toUpperCase(),
    path: decodeURIComponent(path),
    query,
    headers: Object.fromEntries(fields.map(([name, value]) => [name, decode(value)])),
    // An async iterable of bytes; take it once.
    body: () => Request.consumeBody(incoming, Promise.resolve({ tag: 'ok' }))[0],
  };
}

function respond({ status = 200, headers = {}, body = '' }) {
  const fields = new Fields();
  for (const [name, value] of Object.entries(headers)) {
    fields.append(name, encode(value));
  }
  const pieces = typeof body === 'string' ? [encode(body)] : body instanceof Uint8Array ? [body] : body;
  const noTrailers = Promise.resolve({ tag: 'ok', val: null });
  const [response] = Response.new(fields, stream(pieces), noTrailers);
  response.setStatusCode(status);
  return response;
}

async function* stream(pieces) {
  yield* pieces;
}

// Each line goes out as it is written; the stream lives as long as the instance.
function printer(output) {
  let lines;
  return (...words) => {
    if (!lines) {
      const stream = wit.Stream(wit.Stream.U8);
      output.writeViaStream(stream.readable);
      lines = { stream, last: Promise.resolve() };
    }
    const line = encode(words.join(' ') + '\n');
    lines.last = lines.last.then(() => lines.stream.writable.writeAll(line));
  };
}

globalThis.console = { log: printer(stdout), error: printer(stderr) };
