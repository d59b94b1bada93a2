// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { BpfMap, BpfObject } from '../../src/engine/xdp/bpf-object.ts';
import { loadBpfObject, VerifierError } from '../../src/platform/linux/bpf/load.ts';
import { openBpfObject } from '../../src/platform/linux/bpf/object.ts';
import { probeXdp } from '../../src/platform/linux/bpf/probe.ts';
import { openRingReader } from '../../src/platform/linux/bpf/ring-reader.ts';
import { fixtureObject, refusedObject } from '../support/bpf/objects.ts';
import { Network, namespacesUnavailable } from '../support/namespaces.ts';

const probe = probeXdp();
const skip = namespacesUnavailable() || (probe.usable ? false : probe.reason);
const asSource = { constants: {}, mapSizes: {} };
const packet = (first: number): Uint8Array => Uint8Array.from({ length: 60 }, (_, i) => (i === 0 ? first : 0));
const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);
const endpoint = (first: number): Uint8Array => packet(first).subarray(0, 20);

describe('a BPF object in the kernel', { skip }, () => {
  let object: BpfObject;
  const map = (name: string): BpfMap => object.maps.get(name)!;
  before(() => {
    const settings = { constants: { limit: 2, verdict_base: 40 }, mapSizes: { slots: 5000, events: 65_536 } };
    object = loadBpfObject(settings, { path: fixtureObject });
  });
  after(() => object.close());

  test('has its maps with the sizes that were asked for, and its programs', () => {
    assert.deepEqual(
      [...object.maps.values()].map(({ name, keySize, maxEntries }) => [name, keySize, maxEntries]),
      [
        ['services', 4, 4],
        ['slots', 4, 5000],
        ['per_cpu', 4, 2],
        ['services_by_endpoint', 20, 8],
        ['events', 0, 65_536],
        ['.rodata', 4, 1],
        ['.bss', 4, 1],
      ],
    );
    assert.deepEqual([...object.programs.keys()], ['count_packet', 'send_event']);
  });

  test('runs a program on a packet: verdict by the constants, and the packet as it left it', () => {
    const program = object.programs.get('count_packet')!;
    const out = new Uint8Array(60);
    const expected = packet(1);
    expected[1] = 0xab;
    assert.deepEqual(program.run(packet(1), { out }), { verdict: 41, length: 60 });
    assert.deepEqual(out, expected);
    assert.deepEqual(program.run(packet(3)), { verdict: 0, length: 60 });
    const short = new Uint8Array(2);
    assert.deepEqual(program.run(packet(2), { out: short }), { verdict: 42, length: 60 });
    assert.deepEqual(short, Uint8Array.of(2, 0xab));
  });

  test('says why it cannot run a program', () => {
    const program = object.programs.get('count_packet')!;
    assert.throws(() => program.run(new Uint8Array(5)), {
      message: 'cannot run the BPF program count_packet: a packet has 14 bytes at least, not 5',
    });
    assert.throws(() => program.run(packet(1), { ingressInterface: 999_999 }), {
      message: 'cannot run the BPF program count_packet: there is no such interface (bpf: ENODEV)',
    });
  });

  test('shares the memory of an array: both sides see what the other writes', () => {
    const memory = new DataView(map('services').memory());
    assert.equal(map('services').memory(), memory.buffer);
    assert.equal(memory.byteLength, 4 * 48);
    memory.setBigUint64(48 + 32, 100n, true);
    object.programs.get('count_packet')!.run(packet(1));
    // `wide` and `below_zero` of the source.
    assert.deepEqual(
      [memory.getBigUint64(48 + 32, true), memory.getBigUint64(48 + 24, true), memory.getUint32(48 + 40, true)],
      [101n, 0x0102030405060708n - 2n, 9],
    );
    const value = new Uint8Array(48);
    assert.equal(map('services').lookup(u32(1), value), true);
    assert.deepEqual(value, new Uint8Array(memory.buffer, 48, 48));
    assert.equal(map('slots').memory().byteLength, 5000 * 8);
    assert.throws(() => map('services_by_endpoint').memory(), {
      message: 'the BPF map services_by_endpoint cannot be mapped: that takes an array with BPF_F_MMAPABLE',
    });
  });

  test('a hash map: write, read, list, delete, full', () => {
    const hash = map('services_by_endpoint');
    const value = new Uint8Array(4);
    assert.equal(hash.lookup(endpoint(1), value), false);
    for (let i = 0; i < 8; i += 1) hash.update(endpoint(i), u32(i * 7));
    hash.update(endpoint(5), u32(5000));
    assert.throws(() => hash.update(endpoint(9), u32(0)), {
      message: 'the BPF map services_by_endpoint is full: it holds 8 entries',
    });
    const listed = [...hash.entries()].map(([key, at]) => [key[0], new DataView(at.buffer).getUint32(0, true)]);
    const expected = [0, 7, 14, 21, 28, 5000, 42, 49].map((number, i) => [i, number]);
    assert.deepEqual(
      listed.sort(([a], [b]) => a! - b!),
      expected,
    );
    for (const batchLength of [1, 3, 100]) {
      const batched: (number | undefined)[] = [];
      const total = hash.lookupBatch((keys, values, count) => {
        assert.deepEqual([keys.length, values.length], [count * 20, count * 4]);
        for (let i = 0; i < count; i += 1) batched.push(keys[i * 20]);
      }, batchLength);
      assert.deepEqual([total, batched.sort()], [8, [0, 1, 2, 3, 4, 5, 6, 7]]);
    }
    assert.deepEqual([hash.delete(endpoint(3)), hash.delete(endpoint(3)), [...hash.keys()].length], [true, false, 7]);
    assert.throws(() => hash.lookup(u32(1), value), {
      message: 'a key of the BPF map services_by_endpoint has 20 bytes, not 4',
    });
  });

  test('an array in batches', () => {
    const counts: number[] = [];
    assert.equal(
      map('slots').lookupBatch((_keys, _values, count) => counts.push(count), 2048),
      5000,
    );
    assert.deepEqual(counts, [2048, 2048, 904]);
  });

  test('a per-CPU map gives the values of all CPUs', () => {
    const perCpu = map('per_cpu');
    const value = new Uint8Array(perCpu.valueSize);
    const seen = (): number => {
      perCpu.lookup(u32(0), value);
      return new Uint32Array(value.buffer).reduce((sum, one) => sum + one, 0);
    };
    const before = seen();
    object.programs.get('count_packet')!.run(packet(0));
    assert.equal(seen() - before, 1);
  });

  test('is opened again from its descriptors, which are what they are said to be', () => {
    const descriptors = object.descriptors();
    const again = openBpfObject(descriptors);
    map('services_by_endpoint').update(endpoint(1), u32(77));
    const value = new Uint8Array(4);
    again.maps.get('services_by_endpoint')!.lookup(endpoint(1), value);
    assert.deepEqual(value, u32(77));
    const [first] = descriptors;
    assert.throws(() => openBpfObject([{ ...first!, name: 'slots' }]), {
      message: `descriptor ${first!.fd} is the BPF map services, not slots`,
    });
    assert.throws(() => openBpfObject([{ ...first!, kind: 'program' }]), {
      message: `descriptor ${first!.fd} is not the BPF program services`,
    });
    assert.throws(() => openBpfObject([{ ...first!, fd: 0 }]), { message: 'descriptor 0 is not the BPF map services' });
  });

  test('is succeeded by another object that uses its maps and has constants of its own', () => {
    const settings = { constants: { verdict_base: 7 }, mapSizes: {} };
    const former = loadBpfObject({ constants: {}, mapSizes: { slots: 77 } }, { path: fixtureObject });
    former.maps.get('services_by_endpoint')!.update(endpoint(6), u32(66));
    new DataView(former.maps.get('services')!.memory()).setBigUint64(32, 10n, true);
    const successor = loadBpfObject(settings, { path: fixtureObject, successorOf: former });
    assert.deepEqual([...successor.maps.keys()].sort(), [...former.maps.keys()].sort());
    former.close();
    assert.equal(successor.programs.get('count_packet')!.run(packet(0)).verdict, 7);
    const value = new Uint8Array(4);
    assert.equal(successor.maps.get('services_by_endpoint')!.lookup(endpoint(6), value), true);
    assert.deepEqual([value, successor.maps.get('slots')!.maxEntries], [u32(66), 77]);
    assert.equal(new DataView(successor.maps.get('services')!.memory()).getBigUint64(32, true), 11n);
    successor.close();
  });

  test('refuses settings that it does not know', () => {
    const load = (settings: Partial<typeof asSource>): BpfObject =>
      loadBpfObject({ ...asSource, ...settings }, { path: fixtureObject });
    assert.throws(() => load({ mapSizes: { nothing: 1 } }), { message: 'the BPF object has no map nothing' });
    assert.throws(() => load({ constants: { nothing: 1 } }), { message: 'the BPF object has no constant nothing' });
    assert.throws(() => load({ mapSizes: { services: 0 } }), {
      message:
        /^cannot load the BPF object: the kernel does not accept the argument \(bpf: EINVAL\): map 'services': failed to create/,
    });
  });

  test('a program that the verifier refuses: a sentence, and the path to it', () => {
    assert.throws(
      () => loadBpfObject(asSource, { path: refusedObject }),
      (error) => {
        assert.ok(error instanceof VerifierError);
        assert.match(
          error.message,
          /^this kernel \(\S+\) refuses the BPF program reads_too_far: invalid access to packet, off=34 .*outside of the packet$/,
        );
        assert.equal(error.path.length, 4);
        assert.match(error.path[2]!, /^; return data\[34\] == 6 \? XDP_DROP : XDP_PASS;/);
        return true;
      },
    );
  });
});

describe('a BPF ring buffer', { skip }, () => {
  let object: BpfObject;
  let asleep: Int32Array;
  before(() => {
    object = loadBpfObject(asSource, { path: fixtureObject });
    asleep = new Int32Array(object.maps.get('.bss')!.memory(), 0, 1);
  });
  after(() => object.close());
  /** Sends events numbered from 0, every third of which is discarded; gives how many there was room for. */
  const send = (count: number): number => {
    const program = object.programs.get('send_event')!;
    const bytes = new Uint8Array(60);
    let sent = 0;
    for (let i = 0; i < count; i += 1) {
      bytes[0] = i;
      bytes[1] = i % 3 === 2 ? 1 : 0;
      sent += program.run(bytes).verdict;
    }
    return sent;
  };

  test('gives every record that was sent, around its end and again', () => {
    const reader = openRingReader(object.maps.get('events')!);
    for (let round = 0; round < 500; round += 1) {
      assert.equal(send(30), 20);
      const firsts: number[] = [];
      const read = reader.read(1000, (words, offset, length) => {
        assert.deepEqual([length, words[offset + 16]! - words[offset]!], [17, 16]);
        firsts.push(words[offset]! / 100);
      });
      assert.deepEqual([read, firsts], [20, Array.from({ length: 30 }, (_, i) => i).filter((i) => i % 3 !== 2)]);
    }
    reader.close();
  });

  test('takes no more when it is full, and goes on after a read', () => {
    const reader = openRingReader(object.maps.get('events')!);
    // 4096 bytes hold 51 records of 80.
    assert.equal(send(60), 34);
    assert.equal(
      reader.read(1000, () => {}),
      34,
    );
    assert.equal(send(3), 2);
    assert.equal(
      reader.read(1000, () => {}),
      2,
    );
    reader.close();
  });

  test('wakes the reader that sleeps, and only that', async () => {
    const reader = openRingReader(object.maps.get('events')!, asleep);
    const waiting = reader.wait(60_000);
    assert.equal(asleep[0], 1);
    assert.equal(send(1), 1);
    assert.equal(await waiting, true);
    assert.equal(asleep[0], 0);
    assert.equal(await reader.wait(60_000), true, 'there is still something to read');
    assert.equal(
      reader.read(10, () => {}),
      1,
    );
    assert.equal(await reader.wait(1), false);
    const stopped = reader.wait(60_000);
    reader.stop();
    assert.deepEqual([await stopped, await reader.wait(60_000)], [false, false]);
    reader.close();
  });
});

describe('a user with capabilities instead of root', { skip }, () => {
  const program = fileURLToPath(new URL('../support/bpf/unprivileged.js', import.meta.url));
  const network = new Network();
  after(() => network.remove());

  function run(capabilities: string, ...parameters: string[]): unknown {
    const names = `-all,${capabilities}`;
    const { stdout, stderr } = spawnSync(
      'setpriv',
      [
        ...['--reuid', '65534', '--regid', '65534', '--clear-groups'],
        ...['--inh-caps', names, '--ambient-caps', names, '--bounding-set', names],
        ...[process.execPath, program, ...parameters],
      ],
      { encoding: 'utf8' },
    );
    assert.equal(stderr, '');
    return JSON.parse(stdout);
  }

  test('CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW suffice for everything', () => {
    const namespace = network.namespace('unprivileged');
    const peer = network.namespace('unprivileged-peer');
    network.join([namespace, 'eth0'], [peer, 'eth0']);
    const index = Number(namespace.run('cat', '/sys/class/net/eth0/ifindex'));
    const told = namespace.enter(() => run('+bpf,+net_admin,+net_raw', String(index)));
    assert.deepEqual(told, {
      uid: 65534,
      probe: { usable: true },
      warnings: [],
      verdict: 32,
      read: 1,
      mode: 'native',
      attached: true,
    });
  });

  test('without them the error names those that are missing', () => {
    const reason = (missing: string): object => ({
      usable: false,
      reason: `the process lacks ${missing}; start it as root, or with AmbientCapabilities= of its systemd unit`,
      refusal:
        'cannot load the BPF object: the process needs CAP_BPF and CAP_NET_ADMIN outside of any user namespace (EPERM)',
    });
    assert.deepEqual(run('+net_raw'), reason('CAP_NET_ADMIN, CAP_BPF'));
    assert.deepEqual(run('+net_raw,+net_admin'), reason('CAP_BPF'));
  });
});
