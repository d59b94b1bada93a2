// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashWords } from '../../src/lib/hash.ts';
import { emptySlot } from '../../src/model/selector.ts';
import { connectionOverhead } from '../../src/scheduler/least.ts';
import type { MakeEngine } from './engine-under-test.ts';
import { arpFrame, echoFrame } from './frames.ts';
import { configurationOf, describe, Scene } from './scene.ts';

/** The frames that leave for those that arrive: both methods, selectors, and the engine's own ARP and echo replies. */
export function forwardingContract(name: string, make: MakeEngine): void {
  test(`${name}: a configuration with a forwarding method that no engine has is refused, and changes nothing`, async () => {
    const scene = await Scene.open(make);
    await assert.rejects(scene.engine.configure(configurationOf({ method: 'tunnel' })), {
      name: 'RangeError',
      message:
        /^virtual service tcp 192\.0\.2\.80:80: real server 10\.0\.0\.1 has the forwarding method tunnel, which /,
    });
    assert.match((await scene.client({ flags: 'S' }))[0]!, /> 10\.0\.0\.1:8080/);
  });

  test(`${name}: masquerade rewrites both ways`, async () => {
    const scene = await Scene.open(make);
    const rows: [string, () => Promise<string[]>, string][] = [
      [
        'SYN',
        () => scene.client({ flags: 'S' }),
        'servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 10.0.0.1:8080 ttl 63 S seq 1000 ack 0 +0',
      ],
      [
        'SYN-ACK',
        () => scene.server({ flags: 'SA', sequence: 500, acknowledgement: 1001 }),
        'clients: 02:00:00:00:d0:01 > 02:01:c6:33:64:07 192.0.2.80:80 > 198.51.100.7:40000 ttl 63 SA seq 500 ack 1001 +0',
      ],
      [
        'data with IP options, an odd length',
        () =>
          scene.client({
            flags: 'PA',
            sequence: 1001,
            payload: Uint8Array.of(1, 2, 3),
            ipOptions: Uint8Array.of(1, 1, 1, 0),
          }),
        'servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 10.0.0.1:8080 ttl 63 PA seq 1001 ack 0 +3',
      ],
      [
        'data of the real server',
        () => scene.server({ flags: 'A', payload: new Uint8Array(9) }),
        'clients: 02:00:00:00:d0:01 > 02:01:c6:33:64:07 192.0.2.80:80 > 198.51.100.7:40000 ttl 63 A seq 1000 ack 0 +9',
      ],
    ];
    for (const [what, send, expected] of rows) assert.deepEqual(await send(), [expected], what);
    assert.deepEqual(await scene.drops(), {});
    const { services } = await scene.counters();
    const counted = { connections: 1, packetsIn: 2, bytesIn: 40 + 47, packetsOut: 2, bytesOut: 40 + 49 };
    const nothing = { connections: 0, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 };
    assert.deepEqual(services[0], {
      name: 'tcp 192.0.2.80:80',
      ...counted,
      realServers: [
        { address: '10.0.0.1', port: 8080, ...counted, activeConnections: 1, inactiveConnections: 0 },
        { address: '10.0.0.2', port: 8080, ...nothing, activeConnections: 0, inactiveConnections: 0 },
      ],
    });
  });

  test(`${name}: unfinished checksums stay unfinished, and super-frames whole`, {
    skip: make.lacks?.offloads,
  }, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    const rows: [string, () => Promise<string[]>, string][] = [
      [
        'reply with an unfinished checksum',
        () => scene.server({ flags: 'A', payload: new Uint8Array(9) }, { checksumPartial: true }),
        'clients: 02:00:00:00:d0:01 > 02:01:c6:33:64:07 192.0.2.80:80 > 198.51.100.7:40000 ttl 63 A seq 1000 ack 0 +9',
      ],
      [
        'data with an unfinished checksum',
        () => scene.client({ flags: 'A', payload: new Uint8Array(8) }, { checksumPartial: true }),
        'servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 10.0.0.1:8080 ttl 63 A seq 1000 ack 0 +8',
      ],
      [
        'a super-frame far above the MTU',
        () => scene.client({ flags: 'A', payload: new Uint8Array(20_000) }, { segmentSize: 1448 }),
        'servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 10.0.0.1:8080 ttl 63 A seq 1000 ack 0 +20000',
      ],
    ];
    for (const [what, send, expected] of rows) assert.deepEqual(await send(), [expected], what);
    assert.deepEqual(await scene.drops(), {});
    const { packetsIn, bytesIn, packetsOut, bytesOut } = (await scene.counters()).services[0]!;
    assert.deepEqual([packetsIn, bytesIn, packetsOut, bytesOut], [4, 40 + 40 + 48 + 20_040, 1, 49]);
    const direct = await Scene.open(make, { method: 'direct-route' });
    await direct.handshake();
    assert.deepEqual(await direct.client({ flags: 'A', payload: Uint8Array.of(9) }, { checksumPartial: true }), [
      'servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 192.0.2.80:80 ttl 63 A seq 1000 ack 0 +1',
    ]);
  });

  test(`${name}: direct-route changes Ethernet addresses and the TTL, nothing else`, async () => {
    const scene = await Scene.open(make, { method: 'direct-route' });
    const expected = (rest: string): string[] => [
      `servers: 02:00:00:00:d0:02 > 02:01:0a:00:00:01 198.51.100.7:40000 > 192.0.2.80:80 ttl 63 ${rest}`,
    ];
    assert.deepEqual(await scene.client({ flags: 'S' }), expected('S seq 1000 ack 0 +0'));
    assert.deepEqual(await scene.client({ flags: 'A', payload: Uint8Array.of(9) }), expected('A seq 1000 ack 0 +1'));
    // A reply that a real server sends through the director all the same is left alone.
    assert.deepEqual(await scene.server({ source: '192.0.2.80', sourcePort: 80 }), []);
  });

  test(`${name}: the padding of a short Ethernet frame does not travel on`, async () => {
    const scene = await Scene.open(make);
    const { tcpFrame } = await import('./frames.ts');
    const padded = new Uint8Array(60);
    padded.set(tcpFrame());
    const [out] = await scene.engine.send('clients', padded);
    assert.equal(out?.bytes.length, 54);
  });

  test(`${name}: each selector shape`, async () => {
    const clients = Array.from({ length: 6 }, (_, i) => ({ source: `198.51.100.${i + 1}`, sourcePort: 1000 + i }));
    const serverOf = async (scene: Scene, fields: object): Promise<string> => {
      const [out] = await scene.client({ ...fields, flags: 'S' });
      return out?.match(/> 10\.0\.0\.(\d)/)?.[1] ?? out?.match(/ (R?A?) seq/)?.[1] ?? 'nothing';
    };
    const choose = async (scene: Scene): Promise<string> => {
      const chosen: string[] = [];
      for (const client of clients) chosen.push(await serverOf(scene, client));
      return chosen.join(' ');
    };
    const sequence = { shape: 'sequence', slots: Uint16Array.of(0, 0, 1) } as const;
    assert.equal(await choose(await Scene.open(make, { selector: sequence })), '1 1 2 1 1 2');
    const least = {
      shape: 'least',
      overhead: connectionOverhead,
      candidates: [
        { realServer: 0, divisor: 1 },
        { realServer: 1, divisor: 2 },
      ],
    } as const;
    assert.equal(await choose(await Scene.open(make, { selector: least })), '1 2 2 1 2 2');
    const slots = Uint16Array.of(0, 1, emptySlot, 1, 0);
    for (const hashPort of [false, true]) {
      const scene = await Scene.open(make, { selector: { shape: 'hash', slots, seed: 99, hashPort } });
      const expected = clients.map((_, i) => {
        const words = [0xc6336400 | (i + 1) | 0, 1000 + i];
        return ['1', '2', 'RA', '2', '1'][hashWords(hashPort ? words : words.slice(0, 1), 99) % slots.length];
      });
      assert.equal(await choose(scene), expected.join(' '));
    }
  });

  test(`${name}: the sequence goes on where it was when weights change, and entries stay`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake({ sourcePort: 1 });
    await scene.engine.configure(configurationOf());
    const second = await scene.client({ sourcePort: 2 });
    assert.match(second[0]!, /> 10\.0\.0\.2:8080/);
    // 10.0.0.1 leaves: its connection goes on, and the next ones go elsewhere.
    await scene.engine.configure(configurationOf({ servers: ['10.0.0.2'] }));
    assert.match((await scene.client({ sourcePort: 1, flags: 'A' }))[0]!, /> 10\.0\.0\.1:8080/);
    assert.match((await scene.client({ sourcePort: 3 }))[0]!, /> 10\.0\.0\.2:8080/);
    assert.match((await scene.server({ destinationPort: 1, flags: 'A' }))[0]!, /192\.0\.2\.80:80 >/);
  });

  test(`${name}: entries of a removed service are not forwarded and go`, async () => {
    const scene = await Scene.open(make);
    await scene.handshake();
    await scene.engine.configure({ ...configurationOf(), services: [] });
    assert.deepEqual(await scene.client({ flags: 'A' }), []);
    assert.deepEqual(await scene.server({ flags: 'A' }), []);
    await scene.engine.advance(2000);
    assert.deepEqual(await scene.table(), []);
  });

  test(`${name}: ARP and echo for a virtual address`, async () => {
    const scene = await Scene.open(make);
    const send = async (port: 'clients' | 'servers', frame: Uint8Array): Promise<string[]> =>
      describe(await scene.engine.send(port, frame));
    assert.deepEqual(await send('clients', arpFrame(1, '192.0.2.9', '192.0.2.80')), [
      'clients: 02:00:00:00:d0:01 > 02:0c:00:00:00:01 arp 2 192.0.2.80/02:00:00:00:d0:01 > 192.0.2.9/02:0c:00:00:00:01',
    ]);
    assert.deepEqual(await send('clients', echoFrame()), [
      'clients: 02:00:00:00:d0:01 > 02:0c:00:00:00:01 192.0.2.80 > 198.51.100.7 ttl 64 icmp 0/0 168493057 +16',
    ]);
    const silent: [string, 'clients' | 'servers', Uint8Array][] = [
      ['on another interface', 'servers', arpFrame(1, '192.0.2.9', '192.0.2.80')],
      ["about a neighbour's address", 'clients', arpFrame(1, '192.0.2.9', '192.0.2.10')],
      ["for an address that is the kernel's", 'servers', arpFrame(1, '10.0.0.1', '10.0.0.254')],
      ["a peer's announcement of the address", 'clients', arpFrame(1, '192.0.2.80', '192.0.2.80')],
      ['an answer', 'clients', arpFrame(2, '192.0.2.9', '192.0.2.80')],
      ['an echo reply', 'clients', echoFrame({ type: 0 })],
      ['an echo for an address of the kernel', 'clients', echoFrame({ destination: '10.0.0.254' })],
    ];
    for (const [what, port, frame] of silent) assert.deepEqual(await send(port, frame), [], what);
    const { arpReplies, echoReplies } = await scene.counters();
    assert.deepEqual({ arpReplies, echoReplies }, { arpReplies: 1, echoReplies: 1 });
    assert.deepEqual(await scene.drops(), {});
  });
}
