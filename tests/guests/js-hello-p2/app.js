// Shows a JavaScript function on StarlingMonkey: the fetch event, through wasi:http/incoming-handler@0.2.

addEventListener('fetch', (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname } = new URL(request.url);
  if (pathname === '/echo') {
    return new Response(request.body, { headers: request.headers });
  }
  if (pathname === '/log') {
    console.log('to stdout: 你好，世界');
    console.error('to stderr: 出错了 (not really)');
  }
  return new Response('Hello from JavaScript on Gust\n', {
    headers: { 'content-type': 'text/plain' },
  });
}
