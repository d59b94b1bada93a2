// SPDX-License-Identifier: Apache-2.0
import { hashWords } from '../src/lib/hash.ts';
import type { CheckedRealServer, ConfiguredService } from '../src/model/configuration.ts';
import {
  endpointName,
  type RealServer,
  type VirtualService,
  virtualServiceName,
} from '../src/model/virtual-service.ts';

/** A virtual service with the other settings that decide where its clients go. */
export type FingerprintedService = Omit<VirtualService, 'realServers'> &
  Pick<ConfiguredService, 'sorryServer' | 'quorum' | 'hysteresis'> & {
    readonly realServers: readonly FingerprintedServer[];
  };

type FingerprintedServer = RealServer & Pick<CheckedRealServer, 'inhibitOnFailure'>;

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

/** Omits unused settings, so that a version of baton that has a setting agrees with one that does not. */
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

function describeRealServer(server: FingerprintedServer): string {
  const { weight, forwardingMethod, upperThreshold = 0, lowerThreshold = 0, connectionRateMax = 0 } = server;
  return [
    endpointName(server),
    weight,
    forwardingMethod,
    ...(upperThreshold === 0 ? [] : [upperThreshold, lowerThreshold]),
    ...(connectionRateMax === 0 ? [] : [`rate ${connectionRateMax}`]),
    ...(server.inhibitOnFailure === true ? ['inhibit'] : []),
  ].join(' ');
}
