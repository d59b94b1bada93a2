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
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net';
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

  test('a table that breaks off in the middle is an error, not taken for complete', async () => {
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

describe('slow connections to the control socket', () => {
  const directory = privateDirectory();
  const path = controlSocketPath(directory);
  let view: View;
  let server: Server;
  let clients: Socket[];

  beforeEach(async () => {
    view = new View();
    clients = [];
    server = await serveControl(path, view);
  });
  const stop = (): void => {
    for (const client of clients) client.destroy();
    server.closeAllConnections();
    server.close();
  };
  afterEach(stop);
  after(() => rmSync(directory, { recursive: true }));

  /** A client that sends this and waits; the number of those that the server has closed is `closed()`. */
  const open = async (text: string): Promise<Socket> => {
    const client = connect(path);
    client.on('error', () => undefined);
    clients.push(client);
    await once(client, 'connect');
    client.write(text);
    return client;
  };
  const closed = (): number[] => clients.flatMap((client, index) => (client.closed ? [index] : []));

  for (const [name, text] of [
    ['nothing at all', ''],
    ['half a header', 'GET /status HTTP/1.1\r\nHost: ba'],
    ['half a body', 'POST /failover HTTP/1.1\r\nHost: baton\r\nContent-Length: 5\r\n\r\nab'],
  ] as const) {
    test(`64 that have said ${name} give way, the oldest first`, async () => {
      for (let i = 0; i < 64; i += 1) await open(text);
      for (const client of clients) client.resume();
      await settled(() => closed().length);
      assert.deepEqual(closed(), []);
      assert.deepEqual(await fetchStatus(directory, 1000), status);
      assert.deepEqual(await fetchStatus(directory, 1000), status);
      await settled(() => closed().length);
      assert.equal(closed()[0], 0);
      assert.ok(closed().length <= 2, `${closed().length} were closed`);
    });
  }

  /** Answers take time to make: eight are enough. */
  const takeEight = async (): Promise<void> => {
    stop();
    server = await serveControl(path, view, { connectionsMax: 8, requestTimeoutMs: 2000 });
  };

  test('readers that have fallen asleep over the table give way, the one that read last at the end', async () => {
    await takeEight();
    view.pages = 1000;
    view.recordsPerPage = 256;
    for (let i = 0; i < 8; i += 1) await open('GET /connections HTTP/1.1\r\nHost: baton\r\n\r\n');
    await settled(() => view.cursors.length);
    const [first] = clients;
    const before = view.cursors.length;
    first!.resume();
    await settled(() => Number(view.cursors.length > before + 10));
    first!.pause();
    await settled(() => view.cursors.length);
    assert.deepEqual(await fetchStatus(directory, 1000), status);
    assert.equal(first!.destroyed, false);
    for (const client of clients.slice(1)) client.resume();
    await settled(() => closed().length);
    assert.deepEqual(closed(), [1]);
  });

  test('answers that nobody fetches give way', async () => {
    await takeEight();
    const long = 'x'.repeat(1 << 22);
    let asked = 0;
    view.status = async () => {
      asked += 1;
      return { ...status, routerId: long };
    };
    for (let i = 0; i < 8; i += 1) await open('GET /status HTTP/1.1\r\nHost: baton\r\n\r\n');
    await settled(() => asked);
    assert.equal(asked, 8);
    assert.equal((await fetchStatus(directory, 5000)).routerId.length, long.length);
  });

  test('64 that the director is at work for keep their places, and are answered', async () => {
    let answer: (() => void) | undefined;
    const released = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = 0;
    view.status = async () => {
      asked += 1;
      await released;
      return status;
    };
    const answers = Array.from({ length: 64 }, () => fetchStatus(directory));
    await settled(() => asked);
    assert.equal(asked, 64);
    await assert.rejects(fetchStatus(directory), /ended before it had answered; ask again$/);
    answer!();
    assert.deepEqual(await Promise.all(answers), Array(64).fill(status));
    assert.deepEqual(await fetchStatus(directory), status);
  });
});

describe('a request to the control socket', () => {
  const directory = privateDirectory();
  const path = controlSocketPath(directory);
  const view = new View();
  let server: Server;

  before(async () => {
    server = await serveControl(path, view, { connectionsMax: 4, requestTimeoutMs: 100 });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });

  /** The answer until the connection ends. */
  const say = async (text: string): Promise<string> => {
    const client = connect(path);
    let answer = '';
    client.on('error', () => undefined);
    client.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    client.write(text);
    await once(client, 'close');
    return answer.split('\r\n')[0]!;
  };

  test('has a fraction of a second, the first part of it as well as the last', async () => {
    const fromMs = performance.now();
    assert.equal(await say('GET /status HTTP/1.1\r\n'), 'HTTP/1.1 408 Request Timeout');
    const body = 'POST /failover HTTP/1.1\r\nHost: baton\r\nContent-Length: 9\r\n\r\nab';
    assert.equal(await say(body), 'HTTP/1.1 408 Request Timeout');
    assert.ok(performance.now() - fromMs < 2000, `${performance.now() - fromMs} ms`);
  });

  test('has a bound on its head and on its body', async () => {
    const head = `GET /status HTTP/1.1\r\nHost: baton\r\nX: ${'x'.repeat(5000)}\r\n\r\n`;
    assert.equal(await say(head), 'HTTP/1.1 431 Request Header Fields Too Large');
    const post = (length: number): string =>
      `POST /failover HTTP/1.1\r\nHost: baton\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(length)}`;
    assert.equal(await say(post(65_536)), 'HTTP/1.1 200 OK');
    assert.equal(await say(post(65_537)), 'HTTP/1.1 413 Payload Too Large');
  });

  test('is the only one of its connection', async () => {
    const get = 'GET /status HTTP/1.1\r\nHost: baton\r\n\r\n';
    assert.equal(await say(get), 'HTTP/1.1 200 OK');
    let asked = 0;
    view.status = async () => {
      asked += 1;
      return status;
    };
    assert.equal(await say(get.repeat(100)), 'HTTP/1.1 200 OK');
    assert.equal(asked, 1);
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
