// SPDX-License-Identifier: Apache-2.0
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { DirectorView } from '../director/view.ts';
import { errorSentence } from '../lib/error-sentence.ts';
import { describeRecord, recordWords } from '../model/connection-batch.ts';

const recordsPerPage = 2048;
const requestTimeoutMs = 10_000;

/**
 * Serves the control socket: HTTP and JSON on a unix socket that only its owner may open. The caller holds the
 * run-dir's lock, so a socket file that is there already was left by a director that died.
 */
export function serveControl(path: string, view: DirectorView): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((request, response) => {
    answer(view, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else send(response, 500, { error: errorSentence(error) });
    });
  });
  server.requestTimeout = requestTimeoutMs;
  server.maxConnections = 64;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // The file must never exist with wider permissions, not even between bind and chmod.
    const previous = process.umask(0o177);
    server.listen(path, () => {
      chmodSync(path, 0o600);
      resolve(server);
    });
    process.umask(previous);
  });
}

async function answer(view: DirectorView, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  const route = `${request.method} ${request.url}`;
  if (route === 'GET /status') send(response, 200, await view.status());
  else if (route === 'GET /connections') await sendConnections(view, response);
  else if (route === 'POST /failover') send(response, 200, { handedOver: await view.handOver() });
  else send(response, 404, { error: `there is no ${route}; there are GET /status, GET /connections, POST /failover` });
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** One JSON object a line, page by page: a table of a million entries never stands in memory as text. */
async function sendConnections(view: DirectorView, response: ServerResponse): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  let cursor: number | undefined = 0;
  while (cursor !== undefined && !response.destroyed) {
    const { batch, next } = await view.connections(cursor, recordsPerPage);
    let lines = '';
    for (let i = 0; i < batch.length / recordWords; i += 1) lines += `${JSON.stringify(describeRecord(batch, i))}\n`;
    if (lines !== '' && !response.write(lines)) await drained(response);
    cursor = next;
  }
  response.end();
}

/** Resolves when the reader has caught up, or is gone. */
function drained(response: ServerResponse): Promise<void> {
  if (response.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off('drain', settle);
      response.off('close', settle);
      resolve();
    };
    response.on('drain', settle);
    response.on('close', settle);
  });
}
