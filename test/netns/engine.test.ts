// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { EngineConfiguration, EngineCounters } from '../../src/engine/engine.ts';
import type { IpAddress } from '../../src/lib/ip-address.ts';
import type { ForwardingMethod } from '../../src/model/forwarding-method.ts';
import { defaultTimeouts } from '../../src/model/timeouts.ts';
import { Network, namespacesUnavailable } from '../support/namespaces.ts';

const inside = fileURLToPath(new URL('engine-inside.js', import.meta.url));
const ip = (text: string): IpAddress => text as IpAddress;
const virtualAddress = '10.77.1.100';

function configuration(forwardingMethod: ForwardingMethod): EngineConfiguration {
  const port = forwardingMethod === 'masquerade' ? 8080 : 80;
  return {
    addresses: [{ address: ip(virtualAddress), interface: 'clients', leaseSlot: -1, answer: true }],
    services: [
      {
        service: {
          address: ip(virtualAddress),
          port: 80,
          protocol: 'tcp',
          scheduler: { name: 'rr', hashPort: false, fallback: false },
          realServers: [{ address: ip('10.77.2.10'), port, weight: 1, forwardingMethod }],
        },
        selector: { shape: 'sequence', slots: Uint16Array.of(0) },
      },
    ],
    timeouts: defaultTimeouts,
    gracePeriodMs: 1000,
  };
}

/** Lines of a child's standard output, one at a time. */
function lines(child: ChildProcess): () => Promise<string> {
  const iterator = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  child.stderr!.on('data', (text) => process.stderr.write(text));
  return async () => {
    const { value, done } = await iterator.next();
    if (done) throw new Error('the child has ended');
    return value;
  };
}

for (const method of ['masquerade', 'direct-route'] as const) {
  for (const offload of [true, false]) {
    test(
      `${method}: an HTTP client reaches its real server through the engine, offloads ${offload ? 'on' : 'off'}`,
      { skip: namespacesUnavailable(), timeout: 60_000 },
      async () => forwardHttp(method, offload),
    );
  }
}

async function forwardHttp(method: ForwardingMethod, offload: boolean): Promise<void> {
  const network = new Network();
  const children: ChildProcess[] = [];
  try {
    const [client, director, real] = (['client', 'director', 'real'] as const).map((name) => network.namespace(name));
    network.join([client!, 'director'], [director!, 'clients'], offload);
    network.join([director!, 'servers'], [real!, 'director'], offload);
    network.join([real!, 'client'], [client!, 'real'], offload);
    client!.ip('addr', 'add', '10.77.1.2/24', 'dev', 'director');
    client!.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.real.rp_filter=0');
    client!.ip('addr', 'add', '10.77.3.2/24', 'dev', 'real');
    director!.ip('addr', 'add', '10.77.1.1/24', 'dev', 'clients');
    director!.ip('addr', 'add', '10.77.2.1/24', 'dev', 'servers');
    real!.ip('addr', 'add', '10.77.2.10/24', 'dev', 'director');
    real!.ip('addr', 'add', '10.77.3.10/24', 'dev', 'client');
    if (method === 'masquerade') {
      real!.ip('route', 'add', '10.77.1.0/24', 'via', '10.77.2.1');
    } else {
      real!.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.director.rp_filter=0');
      real!.ip('addr', 'add', `${virtualAddress}/32`, 'dev', 'lo');
      real!.ip('route', 'add', '10.77.1.0/24', 'via', '10.77.3.2');
    }
    const [address, port] = method === 'masquerade' ? ['10.77.2.10', '8080'] : [virtualAddress, '80'];
    const server = real!.spawn(process.execPath, inside, 'server', address!, port!);
    const engine = director!.spawn(process.execPath, inside, 'engine', 'clients', 'servers');
    children.push(server, engine);
    const fromServer = lines(server);
    const fromEngine = lines(engine);
    const ask = async (request: unknown): Promise<unknown> => {
      engine.stdin!.write(`${JSON.stringify(request, (_, v) => (v instanceof Uint16Array ? [...v] : v))}\n`);
      return JSON.parse(await fromEngine());
    };
    const digest = await fromServer();
    await ask({ configure: configuration(method) });

    assert.match(client!.run('ping', '-c', '2', '-i', '0.2', '-W', '2', virtualAddress), /2 received/);
    const url = `http://${virtualAddress}`;
    const curl = ['-sS', '--max-time', '30'];
    for (let i = 0; i < 10; i += 1) assert.equal(client!.run('curl', ...curl, `${url}/small`), 'hello\n');
    const download = client!.run('sh', '-c', `curl ${curl.join(' ')} ${url}/large | sha256sum`);
    assert.equal(download.split(' ')[0], digest, 'what was downloaded');
    const upload = client!.run('sh', '-c', `head -c 67108864 /dev/zero | curl ${curl.join(' ')} -T - ${url}/`);
    assert.equal(upload, '3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351', 'what was uploaded');

    const counters = (await ask({ counters: true })) as EngineCounters;
    const quiet = Object.entries(counters.drops).filter(([, count]) => count > 0);
    assert.deepEqual(quiet, [], 'nothing was dropped');
    assert.equal(counters.services[0]!.connections, 12);
    assert.ok(counters.echoReplies >= 2 && counters.arpReplies >= 1);
    assert.equal(counters.services[0]!.packetsOut > 0, method === 'masquerade');
    engine.stdin!.write('{}\n');
    await once(engine, 'exit');
    assert.equal(engine.exitCode, 0);
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
    network.remove();
  }
}
