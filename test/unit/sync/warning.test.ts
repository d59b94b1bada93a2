// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BoundedLog } from '../../../src/director/bounded-log.ts';
import { startReplication } from '../../../src/director/replication/replication.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { createSyncCounters } from '../../../sync/counters.ts';
import { DatagramType } from '../../../sync/messages/table.ts';
import { Publisher } from '../../../sync/publisher.ts';
import { defaultSyncTuning } from '../../../sync/tuning.ts';
import { FakeConnectionPort } from '../../support/fake-connection-port.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';

const active = { sources: ['192.0.2.2' as IpAddress], downIntervalMs: 300 };
const cutOff =
  'VRRP hears 192.0.2.2 as active and connection synchronisation hears nobody: this director has no copy of the ' +
  'sessions there, does not preempt, and they would break if it had to take over; ';

interface DirectorOptions {
  readonly trouble?: string;
  readonly impediment?: string;
  readonly preemptWithoutSyncMs?: number;
}

/** A director whose VRRP hears an active one, and whose sync hears what a test gives it. */
function cutOffDirector({ trouble, impediment, preemptWithoutSyncMs }: DirectorOptions = {}) {
  const time = new SimulatedTime();
  const warnings: string[] = [];
  const gates: string[] = [];
  let receive: (datagram: Uint8Array, source: IpAddress) => void = () => {};
  let sent: Uint8Array = new Uint8Array();
  const replication = startReplication({
    transport: {
      send: (datagram) => {
        sent = datagram.slice();
        return true;
      },
      onReceive: (listener) => {
        receive = listener;
      },
      trouble: () => trouble,
      impediment: () => impediment,
      close: () => {},
    },
    connections: new FakeConnectionPort(time, () => 0.1),
    clock: time,
    identity: { senderId: 1, epoch: 1, syncId: 51 },
    services: [],
    log: (level, message) => {
      if (level === 'warn') warnings.push(message);
    },
    onGate: (gate, open) => gates.push(`${time.nowMs()} ${gate} ${open ? 'open' : 'closed'}`),
    tuning: preemptWithoutSyncMs === undefined ? {} : { preemptWithoutSyncMs },
  });
  replication.setActiveHeard(active);
  /** A heartbeat of this director itself, made another's by `change`. */
  const hear = (change: (datagram: Uint8Array) => void, source = '192.0.2.2'): void => {
    const datagram = sent.slice();
    change(datagram);
    receive(datagram, source as IpAddress);
  };
  return {
    time,
    warnings,
    gates,
    hear,
    receive: (...given: Parameters<typeof receive>) => receive(...given),
    replication,
  };
}

test('a director that VRRP alone hears is not preempted, and the log says once that nothing arrives', () => {
  const { time, warnings, gates, replication } = cutOffDirector();
  time.advanceTo(10_000);
  assert.deepEqual(gates, ['400 cutOff closed']);
  const sentence =
    `${cutOff}no datagram arrives: look at the network and firewalls between the two, at interface, group and port of ` +
    'lvs_sync_daemon on both, and whether the other one is keepalived, which does not speak this protocol';
  assert.deepEqual(warnings, [sentence]);
  const { state, mayPreempt, warning } = replication.status();
  assert.deepEqual({ state, mayPreempt, warning }, { state: 'cutOff', mayPreempt: false, warning: sentence });
});

test('the likely cause: another sync id, with its sender', () => {
  const { time, warnings, hear } = cutOffDirector();
  for (let ms = 100; ms <= 3000; ms += 100) {
    time.advanceTo(ms);
    hear((datagram) => {
      datagram[5] = 52;
    });
  }
  assert.deepEqual(
    warnings.map((line) => line.replace(/\(\d+\)/, '(N)')),
    [
      `${cutOff}datagrams of sync id 52 come from 192.0.2.2 (N) and the id here is 51: write the same id in lvs_sync_daemon on both`,
    ],
  );
});

test("the likely cause: another protocol, and never this director's own datagrams", () => {
  const { time, warnings, hear } = cutOffDirector();
  for (let ms = 100; ms <= 3000; ms += 100) {
    time.advanceTo(ms);
    hear(() => {});
    hear(() => {});
    hear((datagram) => {
      datagram[0] = 0;
    });
  }
  assert.deepEqual(
    warnings.map((line) => line.replace(/badMagic \d+/, 'badMagic N')),
    [
      `${cutOff}datagrams come from 192.0.2.2 and are rejected (badMagic N): another protocol, for example the kernel's ` +
        'synchronisation of a keepalived peer',
    ],
  );
});

test('the likely cause: what the host knows of its interface comes first', () => {
  const { time, warnings } = cutOffDirector({ trouble: 'interface sync0 is down: set it up' });
  time.advanceTo(3000);
  assert.deepEqual(warnings, [`${cutOff}interface sync0 is down: set it up`]);
});

test('without an address to send from, also while VRRP hears nobody', () => {
  const { time, warnings, replication } = cutOffDirector({ impediment: 'interface sync0 has no address' });
  replication.setActiveHeard(undefined);
  time.advanceTo(3000);
  const sentence =
    'connection synchronisation sends nothing, so no peer learns the sessions here: interface sync0 has no address';
  assert.deepEqual(warnings, [sentence]);
  assert.equal(replication.status().warning, sentence);
});

test('with preempt_without_sync the gate opens in the end, and the log says what follows', () => {
  const { time, warnings, gates } = cutOffDirector({ preemptWithoutSyncMs: 5000, trouble: 'x' });
  time.advanceTo(10_000);
  assert.deepEqual(gates, ['400 cutOff closed', '5400 cutOff open']);
  assert.equal(warnings.length, 2);
  assert.match(warnings[1]!, /preempts all the same, as preempt_without_sync says, and breaks them; x$/);
});

test('a peer that does not hear this director is named, once it has not for a second', () => {
  const { time, warnings, gates, receive, replication } = cutOffDirector();
  const identity = { senderId: 2, epoch: 1, syncId: 51 };
  const publisher = new Publisher(identity, defaultSyncTuning, createSyncCounters(), (datagram) =>
    receive(datagram, '192.0.2.2' as IpAddress),
  );
  for (let ms = 100; ms <= 4000; ms += 100) {
    time.advanceTo(ms);
    const { heartbeat: type } = DatagramType;
    publisher.sendControl({ type, gate: 'alone', fingerprint: '0123456789abcdef', solicit: false });
  }
  assert.deepEqual(gates, []);
  const sentence =
    'connection synchronisation hears 192.0.2.2, which does not hear this director and cannot be asked for its table: ' +
    'this director does not preempt; look at firewalls and multicast filters on the way there';
  assert.deepEqual(
    warnings.filter((line) => !/virtual services/.test(line)),
    [sentence],
  );
  const { state, warning, peers } = replication.status();
  assert.deepEqual([state, warning, peers[0]?.gate], ['joining', sentence, 'alone']);
});

test('a stranger who makes the gate move without end costs a line a second', () => {
  const lines: string[] = [];
  const time = new SimulatedTime();
  const log = new BoundedLog<undefined>(time, (_level, sentence) => lines.push(sentence));
  for (let ms = 0; ms <= 2500; ms += 10) {
    log.write('gate', 'info', `change at ${ms}`, undefined);
    time.advanceTo(ms + 10);
  }
  assert.deepEqual(lines, [
    'change at 0',
    'change at 1000 (99 more such lines were left out)',
    'change at 2000 (99 more such lines were left out)',
  ]);
});
