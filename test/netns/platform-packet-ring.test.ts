// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { Frame, PacketPort } from '../../src/engine/portable/packet-port.ts';
import { PacketRing } from '../../src/platform/linux/packet/ring.ts';
import { Poller } from '../../src/platform/linux/process/poller.ts';
import type { SystemError } from '../../src/platform/linux/system-error.ts';
import { eventually, type Namespace, Network, namespacesUnavailable } from '../support/namespaces.ts';

const skip = namespacesUnavailable();

/** An Ethernet frame of an experimental IP protocol (RFC 3692: 253), so that no kernel answers it. */
function experimentalFrame(target: Uint8Array, source: Uint8Array, text: string): Uint8Array {
  const frame = Buffer.alloc(14 + 20 + text.length);
  frame.set(target, 0);
  frame.set(source, 6);
  frame.writeUInt16BE(0x0800, 12);
  frame.writeUInt8(0x45, 14);
  frame.writeUInt16BE(20 + text.length, 16);
  frame.writeUInt8(64, 22);
  frame.writeUInt8(253, 23);
  frame.write(text, 34, 'latin1');
  return frame;
}

const textOf = ({ memory, offset, length }: Frame): string =>
  Buffer.from(memory.subarray(offset + 34, offset + length)).toString('latin1');

const nothing = (): void => undefined;

describe('a packet ring', { skip }, () => {
  const network = new Network();
  let left: Namespace;
  let right: Namespace;
  let a: PacketRing;
  let b: PacketRing;
  const errors: string[] = [];

  before(() => {
    left = network.namespace('left');
    right = network.namespace('right');
    network.join([left, 'eth0'], [right, 'eth0']);
    const onError = ({ code }: SystemError): void => {
      errors.push(code);
    };
    a = left.enter(() => new PacketRing('eth0', { slots: 64, queueLength: 32, onError }));
    b = right.enter(() => new PacketRing('eth0', { slots: 64, queueLength: 32 }));
  });
  after(() => {
    a?.close();
    b?.close();
    network.remove();
  });

  const send = (texts: string[], target = b.macAddress): number => {
    for (const text of texts) {
      const frame = experimentalFrame(target, a.macAddress, text);
      assert.equal(a.transmitCopy(frame, 0, frame.length), true);
    }
    return a.flush();
  };
  const receiveAll = (port: PacketRing, count: number): string[] => {
    const texts: string[] = [];
    const poller = new Poller([port.fd]);
    while (texts.length < count && poller.wait(1000) > 0) {
      port.receive(100, (frame) => texts.push(textOf(frame)));
      port.release();
    }
    return texts;
  };

  test('knows its interface', () => {
    assert.equal(Buffer.from(a.macAddress).toString('hex'), left.macAddress('eth0').replaceAll(':', ''));
    assert.equal(a.mtu, 1500);
  });

  test('hands frames over in the order they came', () => {
    assert.equal(send(['one', 'two', 'three']), 0);
    assert.deepEqual(receiveAll(b, 3), ['one', 'two', 'three']);
    assert.equal(b.receive(100, nothing), 0);
  });

  test('sees neither what it sent itself, nor multicast, nor frames for others', () => {
    const multicast = Uint8Array.of(1, 0, 0x5e, 0, 0, 18);
    const stranger = Uint8Array.of(2, 0, 0, 0, 0, 9);
    const broadcast = new Uint8Array(6).fill(0xff);
    assert.equal(send(['multicast'], multicast) + send(['stranger'], stranger) + send(['all'], broadcast), 0);
    assert.deepEqual(receiveAll(b, 1), ['all']);
    assert.equal(a.receive(100, nothing), 0);
  });

  test('retransmits in place what was rewritten in place', () => {
    send(['ping 1', 'ping 2']);
    const poller = new Poller([b.fd]);
    let seen = 0;
    while (seen < 2 && poller.wait(1000) > 0) {
      seen += b.receive(100, (frame) => {
        frame.memory.set(a.macAddress, frame.offset);
        frame.memory.set(b.macAddress, frame.offset + 6);
        frame.memory[frame.offset + 35] = 'o'.charCodeAt(0);
        assert.equal(b.transmitInPlace(frame), true);
      });
      assert.equal(b.flush(), 0);
      b.release();
    }
    assert.deepEqual(receiveAll(a, 2), ['pong 1', 'pong 2']);
  });

  test('goes round its ring, and counts what came while the ring was full', () => {
    for (let round = 0; round < 5; round += 1) {
      const texts = Array.from({ length: 30 }, (_, i) => `round ${round} frame ${i}`);
      send(texts);
      assert.deepEqual(receiveAll(b, 30), texts);
    }
    for (let i = 0; i < 4; i += 1) send(Array.from({ length: 25 }, () => 'flood'));
    assert.equal(receiveAll(b, 64).length, 64);
    send(['after the flood']);
    assert.deepEqual(receiveAll(b, 1), ['after the flood']);
    assert.equal(b.counters.receiveOverrun, 36);
  });

  test('refuses what does not fit its queue', () => {
    const frame = experimentalFrame(b.macAddress, a.macAddress, 'x');
    assert.equal(a.transmitCopy(new Uint8Array(4096), 0, 2049), false);
    for (let i = 0; i < 32; i += 1) assert.equal(a.transmitCopy(frame, 0, frame.length), true);
    assert.equal(a.transmitCopy(frame, 0, frame.length), false);
    a.discard();
    assert.equal(a.queued, 0);
  });

  test('an interface that goes down and comes up again', async () => {
    left.ip('link', 'set', 'eth0', 'down');
    a.receive(100, nothing);
    assert.equal(new Poller([a.fd]).wait(0), 0);
    assert.equal(send(['lost', 'lost']), 2);
    assert.deepEqual(errors, ['ENETDOWN', 'ENETDOWN']);
    left.ip('link', 'set', 'eth0', 'up');
    assert.equal(await eventually(() => send(['back']) === 0), true);
    assert.deepEqual(receiveAll(b, 1), ['back']);
  });

  test('an interface that does not exist', () => {
    assert.throws(() => left.enter(() => new PacketRing('eth7')), {
      message: 'there is no interface eth7; create it, or correct the name in the configuration',
    });
  });
});

/** Connects two ports as a bridge: frames cross unchanged but for their Ethernet addresses, in place. */
class Loop {
  readonly segmentSizes = new Set<number>();
  partialChecksums = 0;
  superFrames = 0;
  refused = 0;
  #stopped = false;

  async run(ports: readonly [PacketRing, PacketRing], hosts: readonly [string, string]): Promise<void> {
    const macs = hosts.map((mac) => Buffer.from(mac.replaceAll(':', ''), 'hex'));
    const poller = new Poller(ports.map(({ fd }) => fd));
    while (!this.#stopped) {
      if (poller.wait(1) > 0) {
        for (const [i, port] of ports.entries()) {
          const out = ports[1 - i]!;
          port.receive(256, (frame) => this.#cross(frame, out, macs[1 - i]!));
        }
        for (const port of ports) this.refused += port.flush();
        for (const port of ports) port.release();
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  #cross(frame: Frame, out: PacketPort, target: Uint8Array): void {
    if (frame.checksumPartial) this.partialChecksums += 1;
    if (frame.segmentSize > 0) this.segmentSizes.add(frame.segmentSize);
    if (frame.length > 2048) this.superFrames += 1;
    if (frame.memory[frame.offset]! !== 0xff) frame.memory.set(target, frame.offset);
    if (!out.transmitInPlace(frame)) this.refused += 1;
  }
}

describe('merged frames', { skip }, () => {
  const bytesTotal = 64 << 20;
  const transferMsMax = 20_000;
  // One pattern on both sides, so that the sums can be compared without passing them.
  const sender = `const b=Buffer.alloc(1<<20);for(let i=0;i<b.length;i++)b[i]=(i*7+(i>>8))&255;let n=0;
    require('net').createServer(s=>{const go=()=>{while(n<${bytesTotal}){n+=b.length;if(!s.write(b))return s.once('drain',go)}s.end()};go()})
    .listen(9000,'10.9.0.2',()=>console.log('ready'))`;
  const receiver = `const h=require('crypto').createHash('sha256');let n=0;
    require('net').connect(9000,'10.9.0.2').on('data',d=>{h.update(d);n+=d.length}).on('end',()=>console.log(n,h.digest('hex')))`;

  async function transfer(offload: boolean): Promise<{ output: string; loop: Loop; truncated: number }> {
    const network = new Network();
    const children: ChildProcess[] = [];
    try {
      const [client, middle, server] = ['client', 'middle', 'server'].map((label) => network.namespace(label));
      network.join([client!, 'eth0'], [middle!, 'eth0'], offload);
      network.join([middle!, 'eth1'], [server!, 'eth0'], offload);
      client!.ip('addr', 'add', '10.9.0.1/24', 'dev', 'eth0');
      server!.ip('addr', 'add', '10.9.0.2/24', 'dev', 'eth0');
      // The loop rewrites target addresses, as an engine would: the hosts address the middle.
      const macs = [middle!.macAddress('eth0'), middle!.macAddress('eth1')] as const;
      client!.ip('neigh', 'replace', '10.9.0.2', 'lladdr', macs[0], 'dev', 'eth0', 'nud', 'permanent');
      server!.ip('neigh', 'replace', '10.9.0.1', 'lladdr', macs[1], 'dev', 'eth0', 'nud', 'permanent');
      const ports = middle!.enter(() => [new PacketRing('eth0'), new PacketRing('eth1')] as const);
      const loop = new Loop();
      const running = loop.run(ports, [client!.macAddress('eth0'), server!.macAddress('eth0')]);

      const serving = server!.spawn(process.execPath, '-e', sender);
      children.push(serving);
      await new Promise((resolve) => serving.stdout!.once('data', resolve));
      const fetching = client!.spawn(process.execPath, '-e', receiver);
      children.push(fetching);
      const output = await new Promise<string>((resolve) => {
        fetching.stdout!.once('data', (text) => resolve(`${text}`));
        setTimeout(resolve, transferMsMax, 'the transfer stalled').unref();
      });
      loop.stop();
      await running;
      const truncated = ports[0].counters.truncated + ports[1].counters.truncated;
      for (const port of ports) port.close();
      return { output: output.trim(), loop, truncated };
    } finally {
      for (const child of children) child.kill('SIGKILL');
      network.remove();
    }
  }

  function expectedOutput(): string {
    const block = Buffer.alloc(1 << 20);
    for (let i = 0; i < block.length; i += 1) block[i] = (i * 7 + (i >> 8)) & 255;
    const hash = createHash('sha256');
    for (let n = 0; n < bytesTotal; n += block.length) hash.update(block);
    return `${bytesTotal} ${hash.digest('hex')}`;
  }

  test('cross whole, with partial checksums, when the hosts leave segmentation to the device', async () => {
    const { output, loop, truncated } = await transfer(true);
    assert.equal(output, expectedOutput());
    assert.equal(truncated, 0);
    assert.ok(loop.superFrames > 100, `${loop.superFrames} super-frames`);
    assert.ok(loop.partialChecksums > 100, `${loop.partialChecksums} partial checksums`);
    assert.deepEqual([...loop.segmentSizes], [1448]);
  });

  test('do not occur when the hosts segment and checksum themselves', async () => {
    const { output, loop, truncated } = await transfer(false);
    assert.equal(output, expectedOutput());
    assert.deepEqual([loop.superFrames, loop.partialChecksums, truncated], [0, 0, 0]);
  });
});
