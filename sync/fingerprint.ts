// SPDX-License-Identifier: Apache-2.0
import { hashWords } from '../src/lib/hash.ts';
import { endpointName, type VirtualService, virtualServiceName } from '../src/model/virtual-service.ts';

/**
 * A 64-bit digest of the virtual services as configured, 16 hexadecimal digits: peers that disagree would forward the
 * same client to different real servers. Neither the order of services nor that of real servers changes it.
 */
export function fingerprintServices(services: readonly VirtualService[]): string {
  const text = services.map(describe).sort().join('\n');
  const words = Array.from(new TextEncoder().encode(text));
  return [0x6261746f, 0x6e737963].map((seed) => hashWords(words, seed).toString(16).padStart(8, '0')).join('');
}

function describe(service: VirtualService): string {
  const { name, hashPort, fallback } = service.scheduler;
  const realServers = service.realServers.map(
    (server) => `${endpointName(server)} ${server.weight} ${server.forwardingMethod}`,
  );
  return [virtualServiceName(service), name, hashPort, fallback, ...realServers].join(' ');
}
