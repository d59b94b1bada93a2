// SPDX-License-Identifier: Apache-2.0
import { parentPort } from 'node:worker_threads';
import type { ActiveHeard } from '../../director/controls.ts';
import { startReplication } from '../../director/replication/replication.ts';
import type { SyncStatus } from '../../director/status.ts';
import type { ConnectionPort } from '../../engine/engine.ts';
import { RemoteConnectionPort } from '../../engine/portable/remote-engine.ts';
import { XdpConnectionPort } from '../../engine/xdp/connection-port.ts';
import { SettingsLayout } from '../../engine/xdp/layout/structs.ts';
import { mailboxes } from '../../engine/xdp/mailbox.ts';
import type { IpAddress } from '../../lib/ip-address.ts';
import type { Log, LogLevel } from '../../lib/log.ts';
import { type LineReply, type LineRequest, serve } from '../../lib/request-line.ts';
import type { SyncSettings } from '../../model/configuration.ts';
import type { VirtualService } from '../../model/virtual-service.ts';
import { openBpfObject } from '../../platform/linux/bpf/object.ts';
import { openRingReader } from '../../platform/linux/bpf/ring-reader.ts';
import { openSyncDescriptors } from '../../platform/linux/datagram/sync-descriptors.ts';
import { UdpSyncSocket } from '../../platform/linux/datagram/sync-socket.ts';
import { MonotonicClock } from '../../platform/linux/monotonic-clock.ts';
import { InterfaceFollower } from '../../platform/linux/netlink/interface-follower.ts';
import { PacketFrameSender } from '../../platform/linux/packet/frame-sender.ts';
import { LeaseMemory } from '../../platform/linux/process/lease-memory.ts';
import { requestPreference } from '../../platform/linux/process/realtime.ts';
import { Wake } from '../../platform/linux/process/wake.ts';
import type { EngineLine } from '../engine/forwarding.ts';
import { signPeriodMs } from '../vrrp/watch.ts';
import { signLife } from './sign.ts';

export interface SyncThreadSettings {
  readonly sync: SyncSettings;
  readonly senderId: number;
  readonly epoch: number;
  readonly services: readonly VirtualService[];
  readonly engine: EngineLine;
}

export interface SyncRequests {
  status(): SyncStatus;
}

export type ToSyncThread =
  | LineRequest<SyncRequests>
  | {
      readonly kind: 'configuration';
      readonly services: readonly VirtualService[];
      readonly virtualAddresses: ReadonlySet<IpAddress>;
    }
  | { readonly kind: 'activeHeard'; readonly heard: ActiveHeard | undefined }
  | { readonly kind: 'stop' };

export type FromSyncThread =
  | LineReply
  | { readonly kind: 'ready' }
  | { readonly kind: 'gate'; readonly open: boolean }
  | {
      readonly kind: 'log';
      readonly level: LogLevel;
      readonly sentence: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** An address that cannot be used yet, and a port that is still taken, are not reported when they can. */
const lookPeriodMs = 1_000;
/** A takeover puts many addresses on an interface one after the other, just when connections have to be published. */
const coalesceMs = 100;

/** Connection synchronisation on a socket of this host, in a thread of its own. */
export function runSync({ sync, senderId, epoch, services, engine }: SyncThreadSettings): void {
  const parent = parentPort;
  if (parent === null) throw new Error('connection synchronisation runs in a thread of its own');
  const tell = (message: FromSyncThread): void => parent.postMessage(message);
  const log: Log = (level, sentence, fields = {}) => tell({ kind: 'log', level, sentence, fields });
  // If the preference is refused, peers only hear a little later of connections on a busy machine.
  requestPreference();
  const interfaces = new InterfaceFollower();
  // Descriptors belong to the process and would outlive a thread that fails.
  process.once('exit', () => interfaces.close());
  const transport = new UdpSyncSocket(sync, {
    factsOf: (name) => interfaces.facts(name),
    openDescriptors: openSyncDescriptors,
  });
  const clock = new MonotonicClock();
  const memory = LeaseMemory.attach(engine.leaseFd);
  const connections = openConnections(engine, memory);
  let leaves = true;
  let onSending = (): void => undefined;
  const replication = startReplication({
    transport,
    connections,
    clock,
    identity: { senderId, epoch, syncId: sync.syncId },
    services,
    log,
    onGate: (_gate, open) => tell({ kind: 'gate', open }),
    onSending: (does) => {
      leaves = does;
      onSending();
    },
    tuning: {
      datagramLength: sync.maxLength,
      defer: sync.defer ?? false,
      ...(sync.preemptWithoutSyncMs === undefined ? {} : { preemptWithoutSyncMs: sync.preemptWithoutSyncMs }),
    },
  });
  parent.on('message', (message: ToSyncThread) => {
    if ('id' in message) tell(serve<SyncRequests>({ status: () => replication.status() }, message));
    else if (message.kind === 'configuration') {
      replication.reconfigure(message.services);
      transport.avoid(message.virtualAddresses);
      follow();
    } else if (message.kind === 'activeHeard') replication.setActiveHeard(message.heard);
    else {
      clearInterval(looking);
      clearInterval(signing);
      interfaces.close();
      replication.close();
      void connections.close();
      parent.close();
    }
  });
  const follow = followInterface(interfaces, sync.interface, transport, log);
  const looking = setInterval(follow, lookPeriodMs);
  const sign = (): void => signLife(memory, clock.nowMs(), replication.peersHeard(), leaves);
  const signing = setInterval(sign, signPeriodMs);
  onSending = sign;
  sign();
  tell({ kind: 'ready' });
}

/** Gives a function that looks at the interface at once. */
function followInterface(
  interfaces: InterfaceFollower,
  interfaceName: string,
  transport: UdpSyncSocket,
  log: Log,
): () => void {
  const follow = (linkLost = false): void => {
    if (transport.follow(linkLost)) {
      log('info', `connection synchronisation sends from ${transport.source} on ${interfaceName} now`);
    }
  };
  let isDue = false;
  const followSoon = (): void => {
    if (isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      follow();
    }, coalesceMs).unref();
  };
  interfaces.start({
    onLink: (name, up) => {
      if (name === interfaceName) follow(!up);
    },
    onAddresses: (name) => {
      if (name === interfaceName) followSoon();
    },
  });
  return () => follow();
}

function openConnections(line: EngineLine, memory: LeaseMemory): ConnectionPort & { close(): unknown } {
  if (line.kind === 'portable') {
    const wake = new Wake(line.wakeFd);
    return new RemoteConnectionPort(line.port, () => wake.signal(), memory);
  }
  // The descriptors belong to the process, and its main thread closes them.
  const object = openBpfObject(line.descriptors);
  const asleep = new Int32Array(object.maps.get('.data.settings')!.memory(), SettingsLayout.readerAsleep, 1);
  const events = openRingReader(object.maps.get('events')!, asleep);
  const sender = new PacketFrameSender();
  process.once('exit', () => sender.close());
  const held = { sender, leases: memory };
  return new XdpConnectionPort({ object, mailbox: mailboxes.sync, clock: new MonotonicClock(), events, held });
}
