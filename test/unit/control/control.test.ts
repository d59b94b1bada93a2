// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { request, type Server } from 'node:http';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { join, resolve } from 'node:path';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  ControlError,
  controlSocketPath,
  fetchConnections,
  fetchStatus,
  requestFailover,
} from '../../../src/control/client.ts';
import { serveControl } from '../../../src/control/server.ts';
import type { DirectorStatus } from '../../../src/director/status.ts';
import type { DirectorView } from '../../../src/director/view.ts';
import type { ExportPage } from '../../../src/engine/engine.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import {
  ConnectionEvent,
  packHead,
  RecordOffset,
  recordWords,
  writeAddressWords,
} from '../../../src/model/connection-batch.ts';
import { tcpStateNames } from '../../../src/model/tcp-state.ts';

const baton = fileURLToPath(new URL('../../../src/main.js', import.meta.url));
const status = { version: '9.9.9', routerId: 'lb1' } as DirectorStatus;

/** A director as the socket sees it. `pages` are cursors of the connection table that were asked for. */
class View implements DirectorView {
  readonly cursors: number[] = [];
  failure: string | undefined;
  pages = 1;
  recordsPerPage = 1;
  failAtPage = Number.POSITIVE_INFINITY;

  async status(): Promise<DirectorStatus> {
    if (this.failure !== undefined) throw new Error(this.failure);
    return status;
  }

  async connections(cursor: number, recordsMax: number): Promise<ExportPage> {
    assert.equal(recordsMax, 2048);
    if (cursor === this.failAtPage) throw new Error('the engine thread has ended');
    this.cursors.push(cursor);
    const batch = new Int32Array(recordWords * this.recordsPerPage);
    for (let i = 0; i < this.recordsPerPage; i += 1)
      batch.set(record(cursor * this.recordsPerPage + i), i * recordWords);
    return { batch, next: cursor + 1 < this.pages ? cursor + 1 : undefined };
  }

  async handOver(): Promise<readonly string[]> {
    if (this.failure !== undefined) throw new Error(this.failure);
    return ['web', 'mail'];
  }
}

describe('the control socket', () => {
  const directory = privateDirectory();
  let view: View;
  let server: Server;

  before(async () => {
    server = await serveControl(controlSocketPath(directory), {
      status: () => view.status(),
      connections: (cursor, recordsMax) => view.connections(cursor, recordsMax),
      handOver: () => view.handOver(),
    });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    view = new View();
  });

  test('is open to its owner only, and the umask is as before', () => {
    assert.equal((statSync(controlSocketPath(directory)).mode & 0o777).toString(8), '600');
    const mask = process.umask(0o22);
    process.umask(mask);
    assert.notEqual(mask, 0o177);
  });

  test('gives the status, and hands over on request', async () => {
    assert.deepEqual(await fetchStatus(directory), status);
    assert.deepEqual(await requestFailover(directory), ['web', 'mail']);
  });

  test('passes on what the director says when it cannot', async () => {
    view.failure = 'the vrrp process does not answer within 5000 ms';
    await assert.rejects(fetchStatus(directory), new ControlError(view.failure));
    await assert.rejects(requestFailover(directory), new ControlError(view.failure));
  });

  test('says what there is when asked for something else', async () => {
    const ask = async (method: string, path: string): Promise<string> => {
      const outgoing = request({ socketPath: controlSocketPath(directory), method, path }).end();
      const [response] = await once(outgoing, 'response');
      let text = `${response.statusCode} `;
      for await (const chunk of response) text += chunk;
      return text;
    };
    const there = 'there are GET /status, GET /connections, POST /failover';
    assert.equal(await ask('GET', '/'), `404 {"error":"there is no GET /; ${there}"}\n`);
    assert.equal(await ask('GET', '/failover'), `404 {"error":"there is no GET /failover; ${there}"}\n`);
  });

  test('streams the connection table, page by page', async () => {
    view.pages = 3;
    view.recordsPerPage = 2;
    const ports: number[] = [];
    for await (const entry of fetchConnections(directory)) ports.push(entry.clientPort);
    assert.deepEqual(ports, [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(view.cursors, [0, 1, 2]);
  });

  test('asks the engine for no more than a slow reader takes', async () => {
    view.pages = 1000;
    view.recordsPerPage = 2048;
    const warnings: string[] = [];
    const warn = (warning: Error): void => void warnings.push(warning.name);
    process.on('warning', warn);
    const reader = connect(controlSocketPath(directory));
    reader.write('GET /connections HTTP/1.1\r\nHost: baton\r\n\r\n');
    reader.pause();
    await settled(() => view.cursors.length);
    assert.ok(view.cursors.length < 20, `${view.cursors.length} pages were made for nobody`);
    const [before] = [view.cursors.length];
    let received = 0;
    reader.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (view.cursors.length > before + 30) reader.destroy();
    });
    reader.resume();
    await once(reader, 'close');
    assert.ok(received > 0);
    await settled(() => view.cursors.length);
    assert.ok(view.cursors.length < 100, 'it goes on for a reader that has gone');
    process.off('warning', warn);
    assert.deepEqual(warnings, []);
  });

  test('a table that breaks off in the middle is said, not taken for whole', async () => {
    view.pages = 10;
    view.recordsPerPage = 2048;
    view.failAtPage = 5;
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const { clientPort } of fetchConnections(directory)) seen.push(clientPort);
    };
    await assert.rejects(
      read(),
      new ControlError('the director ended in the middle of its connection table, so what was shown is not all'),
    );
    assert.ok(seen.length <= 5 * 2048);
  });

  test('a reader that has seen enough ends baton connections quietly', async () => {
    view.pages = 20;
    view.recordsPerPage = 2048;
    // The shell is the test's own: what it tests is a closed pipe.
    const script = '"$0" "$1" connections --run-dir "$2" | head -n 1';
    const child = spawn('sh', ['-c', script, process.execPath, baton, directory]);
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (text) => {
      output.stdout += text;
    });
    child.stderr.on('data', (text) => {
      output.stderr += text;
    });
    await once(child, 'close');
    assert.deepEqual(output, {
      stdout: 'pro expire state       source                  virtual                 destination             owner\n',
      stderr: '',
    });
  });
});

describe('the client says what to do', () => {
  const directory = privateDirectory();
  const socketPath = controlSocketPath(directory);
  const notRunning = new ControlError(
    `no director is running with ${socketPath}; start one with "baton run", or name its run-dir with --run-dir`,
  );
  let listener: NetServer | undefined;

  afterEach(() => {
    listener?.close();
    listener = undefined;
    rmSync(socketPath, { force: true });
  });
  after(() => rmSync(directory, { recursive: true }));

  test('when there is no socket', async () => {
    await assert.rejects(fetchStatus(directory), notRunning);
  });

  test('when nobody listens behind it', async () => {
    // A director that was killed leaves its socket's file.
    const script = 'require("node:net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))';
    spawnSync(process.execPath, ['-e', script, socketPath]);
    assert.ok(statSync(socketPath).isSocket());
    await assert.rejects(fetchStatus(directory), notRunning);
  });

  test('when the socket belongs to another user', { skip: process.getuid?.() !== 0 && 'needs root' }, () => {
    writeFileSync(socketPath, '');
    chmodSync(directory, 0o700);
    chownSync(directory, 65534, 65534);
    // Root without its right to pass permissions by: really another user might not be able to read this checkout.
    const rights = '-dac_override,-dac_read_search';
    const prefix = [`--bounding-set=${rights}`, `--inh-caps=${rights}`, process.execPath];
    const command = [...prefix, baton, 'status', '--run-dir', directory];
    const { status, stderr } = spawnSync('setpriv', command, { encoding: 'utf8' });
    chownSync(directory, 0, 0);
    assert.equal(stderr, `baton status: ${socketPath} belongs to another user; ask as that user, or as root\n`);
    assert.equal(status, 1);
  });

  test('when the director does not answer in time', async () => {
    listener = createServer(() => undefined).listen(socketPath);
    await once(listener, 'listening');
    await assert.rejects(
      fetchStatus(directory, 50),
      new ControlError(`the director behind ${socketPath} does not answer within 50 ms`),
    );
  });

  test('when the director ends before it has answered', async () => {
    listener = createServer((socket) => socket.once('data', () => socket.destroy())).listen(socketPath);
    await once(listener, 'listening');
    await assert.rejects(
      fetchStatus(directory),
      new ControlError(`the director behind ${socketPath} ended before it had answered; ask again`),
    );
  });
});

/** Where only this user gets: a socket's path is short, so it cannot be anywhere. */
function privateDirectory(): string {
  const built = resolve('.build');
  for (const parent of [process.env.XDG_RUNTIME_DIR, '/run', built]) {
    if (parent === undefined || parent === '') continue;
    if (parent === built) mkdirSync(built, { recursive: true });
    try {
      accessSync(parent, constants.W_OK);
      return mkdtempSync(join(parent, 'baton-test-'));
    } catch {
      // The next one.
    }
  }
  throw new Error('no directory for sockets can be written to');
}

/** Waits until a figure has stood still for a while of turns of the event loop. */
async function settled(figure: () => number): Promise<void> {
  for (let still = 0, last = figure(); still < 20; still += 1) {
    await new Promise((next) => setTimeout(next, 2));
    if (figure() !== last) still = 0;
    last = figure();
  }
}

function record(number: number): Int32Array {
  const words = new Int32Array(recordWords);
  words[RecordOffset.head] = packHead({
    event: ConnectionEvent.upsert,
    protocol: 6,
    state: tcpStateNames.indexOf('ESTABLISHED'),
    family: 'ipv4',
    local: true,
    forwardingMethod: 0,
  });
  words[RecordOffset.ports] = ((number & 0xffff) << 16) | 80;
  words[RecordOffset.realPort] = 80;
  for (const at of [RecordOffset.clientAddress, RecordOffset.virtualAddress, RecordOffset.realAddress]) {
    writeAddressWords(words, at, '192.0.2.1' as IpAddress);
  }
  return words;
}
