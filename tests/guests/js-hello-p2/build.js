// By the engine's own interface: it needs no bundler for a single file.

import { readFile, writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const { component } = await componentize(await readFile('app.js', 'utf8'), {
  witPath: 'wit',
  worldName: 'app',
});
await writeFile('app.wasm', component);
