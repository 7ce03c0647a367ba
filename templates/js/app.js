import store from 'wasi:keyvalue/store@0.2.0-draft2';
import { decode, encode, serve, text } from './gust.js';

export const handler = serve(async (request) => {
  const name = request.path.slice(1) || 'world';

  // "default" is the label that gust.toml lists under `kv`.
  const visits = store.open('default');
  const count = Number(decode(visits.get(name) ?? [])) + 1;
  visits.set(name, encode(String(count)));

  console.log(`visit ${count} of ${name}`);
  return text(`Hello, ${name}! This is visit ${count}.\n`);
});
