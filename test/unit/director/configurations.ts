// SPDX-License-Identifier: Apache-2.0
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { CheckedRealServer, Configuration, ConfiguredService } from '../../../src/model/configuration.ts';
import type { ForwardingMethod } from '../../../src/model/forwarding-method.ts';
import { defaultTimeouts } from '../../../src/model/timeouts.ts';
import type { VirtualRouter } from '../../../src/model/virtual-router.ts';

// Short ways to write a director's configuration.

export const address = (text: string): IpAddress => text as IpAddress;

export function router(name: string, vrid: number, addresses: readonly string[], on = 'eth0'): VirtualRouter {
  return {
    name,
    interface: on,
    family: addresses[0]?.includes(':') ? 'ipv6' : 'ipv4',
    vrid,
    version: 3,
    priority: 100,
    advertIntervalMs: 100,
    startAs: 'backup',
    preempt: true,
    preemptDelayMs: 0,
    /** `ADDRESS` on the router's interface, or `ADDRESS INTERFACE`. */
    addresses: addresses.map((text) => {
      const [value = '', place = on] = text.split(' ');
      return { address: address(value), prefixLength: 24, interface: place };
    }),
    announcement: { repeat: 5, delayMs: 5000, refreshMs: 0, refreshRepeat: 1, intervalMs: 0 },
  };
}

export function service(
  on: string,
  realServers: readonly string[],
  forwardingMethod: ForwardingMethod = 'direct-route',
): ConfiguredService {
  return {
    address: address(on),
    port: 80,
    protocol: 'tcp',
    scheduler: { name: 'rr', hashPort: false, fallback: false },
    realServers: realServers.map((text) => ({
      address: address(text),
      port: 80,
      weight: 1,
      forwardingMethod,
      checks: [],
    })),
  };
}

export function realServer(text: string, changes: Partial<CheckedRealServer> = {}): CheckedRealServer {
  return { address: address(text), port: 8080, weight: 1, forwardingMethod: 'masquerade', checks: [], ...changes };
}

/** A service on 192.0.2.10 before 10.0.0.1 and 10.0.0.2 with masquerade. */
export function serviceOf(changes: Partial<ConfiguredService> = {}): ConfiguredService {
  const realServers = [realServer('10.0.0.1'), realServer('10.0.0.2')];
  return { ...service('192.0.2.10', []), realServers, ...changes };
}

export function configuration(
  virtualRouters: readonly VirtualRouter[],
  services: readonly ConfiguredService[] = [],
  routerId = 'lb1',
): Configuration {
  return { routerId, virtualRouters, services, sync: undefined, timeouts: defaultTimeouts };
}
