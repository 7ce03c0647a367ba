// Shows a JavaScript function on QuickJS, through wasi:http/handler@0.3.0: /log prints, /throw fails, /echo streams.

import { Fields, Request, Response } from 'wasi:http/types@0.3.0';
import stderr from 'wasi:cli/stderr@0.3.0';
import stdout from 'wasi:cli/stdout@0.3.0';

export const handler = {
  async handle(request) {
    const path = request.getPathWithQuery();
    if (path === '/throw') {
      throw new Error('asked to fail');
    }
    if (path === '/log') {
      print(stdout, 'to stdout: 你好，世界\n');
      print(stderr, 'to stderr: 出错了 (not really)\n');
    }
    if (path === '/echo') {
      const [body] = Request.consumeBody(request, Promise.resolve({ tag: 'ok' }));
      return respond(body);
    }
    return respond([utf8('Hello from JavaScript on Gust\n')]);
  },
};

function respond(pieces) {
  const headers = new Fields();
  headers.append('content-type', utf8('text/plain'));
  const noTrailers = Promise.resolve({ tag: 'ok', val: null });
  const [response] = Response.new(headers, stream(pieces), noTrailers);
  return response;
}

async function* stream(pieces) {
  yield* pieces;
}

// The engine has neither a console nor a TextEncoder.
function print(output, line) {
  output.writeViaStream(stream([utf8(line)]));
}

function utf8(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (c) => c.charCodeAt(0));
}
