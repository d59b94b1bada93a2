// SPDX-License-Identifier: Apache-2.0
import { hashWords } from '../src/lib/hash.ts';
import type { ConfiguredService } from '../src/model/configuration.ts';
import {
  endpointName,
  type RealServer,
  type VirtualService,
  virtualServiceName,
} from '../src/model/virtual-service.ts';

/** A virtual service with what else decides where its clients go. */
export type FingerprintedService = VirtualService & Pick<ConfiguredService, 'sorryServer' | 'quorum' | 'hysteresis'>;

/**
 * A 64-bit digest of the virtual services as configured, 16 hexadecimal digits: peers that disagree would forward the
 * same client to different real servers. The order of services does not change it; that of real servers does, because
 * schedulers break ties by it.
 */
export function fingerprintServices(services: readonly FingerprintedService[]): string {
  const text = services.map(describe).sort().join('\n');
  const words = Array.from(new TextEncoder().encode(text));
  return [0x6261746f, 0x6e737963].map((seed) => hashWords(words, seed).toString(16).padStart(8, '0')).join('');
}

/** What a service does not use does not stand in its description. */
function describe(service: FingerprintedService): string {
  const { name, hashPort, fallback } = service.scheduler;
  const { persistence, onePacket, sorryServer, quorum = 1, hysteresis = 0 } = service;
  return [
    virtualServiceName(service),
    name,
    hashPort,
    fallback,
    ...(persistence === undefined ? [] : [`persistent ${persistence.timeoutMs} ${persistence.prefixLength}`]),
    ...(onePacket === true ? ['ops'] : []),
    ...service.realServers.map(describeRealServer),
    ...(sorryServer === undefined ? [] : [`sorry ${quorum} ${hysteresis} ${describeRealServer(sorryServer)}`]),
  ].join(' ');
}

function describeRealServer(server: RealServer): string {
  const { weight, forwardingMethod, upperThreshold = 0, lowerThreshold = 0 } = server;
  const threshold = upperThreshold === 0 ? '' : ` ${upperThreshold} ${lowerThreshold}`;
  return `${endpointName(server)} ${weight} ${forwardingMethod}${threshold}`;
}
