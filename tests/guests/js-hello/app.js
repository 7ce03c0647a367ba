// Shows a JavaScript function on QuickJS that answers through wasi:http/handler@0.3.0; /log prints, /throw fails.

import { Fields, Response } from 'wasi:http/types@0.3.0';

export const handler = {
  async handle(request) {
    const path = request.getPathWithQuery();
    if (path === '/throw') {
      throw new Error('asked to fail');
    }
    if (path === '/log') {
      console.log('to stdout: 你好，世界');
      console.error('to stderr: 出错了 (not really)');
    }
    const headers = new Fields();
    headers.append('content-type', new TextEncoder().encode('text/plain'));
    const body = wit.Stream(wit.Stream.U8);
    const trailers = wit.Future();
    const [response] = Response.new(headers, body.readable, trailers.readable);
    write(body.writable, trailers.writable);
    return response;
  },
};

async function write(body, trailers) {
  await body.writeAll(new TextEncoder().encode('Hello from JavaScript on Gust\n'));
  body.drop();
  await trailers.write({ tag: 'ok', val: null });
}
