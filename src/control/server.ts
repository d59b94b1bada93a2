// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { DirectorView } from '../director/view.ts';
import { errorSentence } from '../lib/error-sentence.ts';
import { describeRecord, recordWords } from '../model/connection-batch.ts';
import { ControlAdmission, type ExchangeStage } from './admission.ts';

const recordsPerPage = 2048;
/** A request is a line and a few headers; what carries more than that is no client of this socket. */
const headerBytesMax = 4096;
const bodyBytesMax = 65_536;

interface ControlLimits {
  /** At once. Beyond it, slow connections give way. */
  readonly connectionsMax: number;
  /** From the beginning of a connection to the end of its request. */
  readonly requestTimeoutMs: number;
}

const defaultLimits: ControlLimits = { connectionsMax: 64, requestTimeoutMs: 2_000 };

/**
 * Serves the control socket: HTTP and JSON, one request a connection, on a unix socket that only its owner may open. The
 * caller holds the run-dir's lock, so a socket file that is there already was left by a director that died.
 */
export function serveControl(path: string, view: DirectorView, limits = defaultLimits): Promise<Server> {
  rmSync(path, { force: true });
  const { connectionsMax, requestTimeoutMs } = limits;
  const server = createServer({
    maxHeaderSize: headerBytesMax,
    headersTimeout: requestTimeoutMs,
    requestTimeout: requestTimeoutMs,
    connectionsCheckingInterval: Math.ceil(requestTimeoutMs / 4),
  });
  server.maxRequestsPerSocket = 1;
  const admission = new ControlAdmission(server, connectionsMax);
  server.on('request', (request, response) => {
    // The request forgets it when it is destroyed.
    const { socket } = request;
    // Otherwise the connection would stay for the next request, which would be refused.
    response.shouldKeepAlive = false;
    serve({ view, request, response, moveTo: (stage) => admission.move(socket, stage) })
      .catch((error: unknown) => {
        if (response.headersSent || socket.destroyed) response.destroy();
        else send(response, 500, { error: errorSentence(error) });
      })
      .finally(() => admission.move(socket, 'unread'));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // It is bound within the call, so the file never exists with wider permissions. A chmod of the path would come late,
    // and would follow a link.
    const previous = process.umask(0o177);
    server.listen(path, () => resolve(server));
    process.umask(previous);
  });
}

interface Exchange {
  readonly view: DirectorView;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly moveTo: (stage: ExchangeStage) => void;
}

async function serve(exchange: Exchange): Promise<void> {
  const { view, request, response, moveTo } = exchange;
  if (!(await discardBody(request))) {
    return send(response, 413, { error: `a request has at most ${bodyBytesMax} bytes` });
  }
  moveTo('answering');
  const route = `${request.method} ${request.url}`;
  if (route === 'GET /status') send(response, 200, await view.status());
  else if (route === 'GET /connections') await sendConnections(exchange);
  else if (route === 'POST /failover') send(response, 200, { handedOver: await view.handOver() });
  else send(response, 404, { error: `there is no ${route}; there are GET /status, GET /connections, POST /failover` });
}

/** Resolves when all of it has arrived, or with false as soon as it is too long; the rest of that is not read. */
async function discardBody(request: IncomingMessage): Promise<boolean> {
  let length = 0;
  for await (const chunk of request) {
    length += (chunk as Buffer).length;
    if (length > bodyBytesMax) return false;
  }
  return true;
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** One JSON object a line, page by page: a table of a million entries never stands in memory as text. */
async function sendConnections({ view, response, moveTo }: Exchange): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  let cursor: number | undefined = 0;
  while (cursor !== undefined && !response.destroyed) {
    const { batch, next } = await view.connections(cursor, recordsPerPage);
    let lines = '';
    for (let i = 0; i < batch.length / recordWords; i += 1) lines += `${JSON.stringify(describeRecord(batch, i))}\n`;
    if (lines !== '' && !response.write(lines)) {
      moveTo('unread');
      await drained(response);
      moveTo('answering');
    }
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
