// SPDX-License-Identifier: Apache-2.0
import type { SilenceCause } from '../../../sync/silence.ts';
import type { SessionStatus } from '../../../sync/surroundings.ts';
import type { ActiveHeard } from '../controls.ts';

/** What the pair would not survive, for an operator. */
export interface SyncWarning {
  /** The same for as long as the same thing is wrong. */
  readonly kind: string;
  readonly sentence: string;
}

export interface WarningFacts {
  readonly status: Pick<SessionStatus, 'gate' | 'open' | 'peers' | 'silence'>;
  readonly syncId: number;
  readonly heard: ActiveHeard | undefined;
  /** What this host knows of the reason: a sentence without its full stop. */
  readonly trouble: () => string | undefined;
  /** Whether new connections are to wait for the peers' acknowledgements. */
  readonly defer?: boolean;
  /** Why nothing can be sent: a sentence without its full stop. */
  readonly impediment?: string | undefined;
}

export function syncWarning({
  status,
  syncId,
  heard,
  trouble,
  defer,
  impediment,
}: WarningFacts): SyncWarning | undefined {
  const { gate, open, peers, silence } = status;
  if (gate === 'cutOff' && heard !== undefined) {
    const known = trouble();
    const does = open
      ? 'preempts all the same, as preempt_without_sync says, and breaks them'
      : 'does not preempt, and they would break if it had to take over';
    const sentence =
      `VRRP hears ${heard.sources.join(', ')} as active and connection synchronisation hears nobody: this director has no ` +
      `copy of the sessions there, ${does}; ${known ?? causeSentence(silence, syncId)}`;
    return { kind: `cut off ${open} ${known === undefined ? silence.kind : 'trouble'}`, sentence };
  }
  if (impediment !== undefined) {
    const sentence = `connection synchronisation sends nothing, so no peer learns the sessions here: ${impediment}`;
    return { kind: 'no source', sentence };
  }
  const deaf = peers.filter((peer) => !peer.inSync && peer.gate === 'alone').map(({ address }) => address);
  if (gate === 'joining' && deaf.length > 0) {
    return {
      kind: 'one way',
      sentence:
        `connection synchronisation hears ${deaf.join(', ')}, which does not hear this director and cannot be asked for its ` +
        'table: this director does not preempt; look at firewalls and multicast filters on the way there',
    };
  }
  const mute = peers.filter(({ acknowledges }) => !acknowledges).map(({ address }) => address);
  if (defer !== true || mute.length === 0) return undefined;
  return {
    kind: 'not acknowledged',
    sentence:
      `defer says that new connections wait for the peers, but ${mute.join(', ')} does not acknowledge them and is not waited ` +
      'for: run the same version of baton on both, and look at how busy it and the network are',
  };
}

function causeSentence(cause: SilenceCause, syncId: number): string {
  switch (cause.kind) {
    case 'foreignSyncId':
      return (
        `datagrams of sync id ${cause.syncId} come from ${cause.source} (${cause.count}) and the id here is ${syncId}: ` +
        'write the same id in lvs_sync_daemon on both'
      );
    case 'rejected':
      return `datagrams come from ${cause.source} and are rejected (${cause.reason} ${cause.count})${guess(cause.reason)}`;
    case 'nothingHeard':
      return (
        'no datagram arrives: look at the network and firewalls between the two, at interface, group and port of ' +
        'lvs_sync_daemon on both, and whether the other one is keepalived, which does not speak this protocol'
      );
  }
}

function guess(reason: string): string {
  if (reason === 'badMagic') return ": another protocol, for example the kernel's synchronisation of a keepalived peer";
  if (reason === 'badVersion' || reason === 'unknownType') return ': run the same version of baton on both';
  if (reason === 'senderIdConflict') return ': it uses an address of this director to synchronise; give it its own';
  return '';
}
