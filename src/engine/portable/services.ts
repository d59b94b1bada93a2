// SPDX-License-Identifier: Apache-2.0
import { protocolNumbers, virtualServiceName } from '../../model/virtual-service.ts';
import type { EngineAddress, EngineConfiguration } from '../engine.ts';
import { type Destinations, trafficFields } from './destinations.ts';
import { endpointTag, KeyIndex } from './key-index.ts';
import type { NextHopResolver } from './next-hop.ts';
import type { RunningService } from './running-service.ts';

const endlessLease = -1;

/** The configuration in force: which addresses and services there are, and who serves them. */
export class Services {
  /** The addresses that packets are looked at for. */
  addresses: readonly EngineAddress[] = [];
  running: readonly RunningService[] = [];
  readonly #destinations: Destinations;
  readonly #resolver: NextHopResolver;
  #addressIndex = new KeyIndex(1);
  #serviceIndex = new KeyIndex(1);
  #replyIndex = new KeyIndex(1);

  constructor(destinations: Destinations, resolver: NextHopResolver) {
    this.#destinations = destinations;
    this.#resolver = resolver;
  }

  /** Keeps what both configurations have: destination numbers, counters, cursors. */
  configure(configuration: EngineConfiguration): void {
    const before = new Map(this.running.map((service) => [service.name, service]));
    const slots = new Map(configuration.addresses.map((address) => [address.address, address.leaseSlot]));
    this.running = configuration.services.map((compiled) => {
      const name = virtualServiceName(compiled.service);
      const leaseSlot = slots.get(compiled.service.address) ?? endlessLease;
      const service = before.get(name) ?? {
        name,
        compiled,
        leaseSlot,
        destinations: new Int32Array(0),
        cursor: 0,
        retiredTraffic: new Float64Array(trafficFields),
      };
      before.delete(name);
      service.compiled = compiled;
      service.leaseSlot = leaseSlot;
      service.destinations = Int32Array.from(compiled.service.realServers, (realServer) =>
        this.#destinations.acquire(service, realServer, leaseSlot, this.#resolver),
      );
      return service;
    });
    this.#followLeases();
    for (const removed of before.values()) this.#forget(removed);
    this.#index(configuration.addresses);
    this.collect();
  }

  /** Frees real servers that have left the configuration and whose last connection has gone. */
  collect(): void {
    const configured = new Set(this.running.flatMap((service) => [...service.destinations]));
    this.#destinations.collect((destination) => configured.has(destination));
  }

  /** The number of the engine address, or -1: not ours. */
  findAddressIpv4(address: number): number {
    return this.#addressIndex.findIpv4(address, 0);
  }

  findServiceIpv4(protocol: number, address: number, port: number): RunningService | undefined {
    return this.running[this.#serviceIndex.findIpv4(address, endpointTag(protocol, port))];
  }

  /** `words` holds the virtual address in four words at `offset`. */
  findService(protocol: number, words: Int32Array, offset: number, port: number): RunningService | undefined {
    const tag = endpointTag(protocol, port);
    const { [offset]: word0, [offset + 1]: word1, [offset + 2]: word2, [offset + 3]: word3 } = words;
    return this.running[this.#serviceIndex.find(word0!, word1!, word2!, word3!, tag)];
  }

  /** Whether replies come from here: the endpoint of a masquerade real server. */
  isReplyEndpointIpv4(protocol: number, address: number, port: number): boolean {
    return this.#replyIndex.findIpv4(address, endpointTag(protocol, port)) >= 0;
  }

  /** Real servers that have left the configuration obey the lease of their service as well. */
  #followLeases(): void {
    for (const [destination, service] of this.#destinations.services.entries()) {
      if (service !== undefined) this.#destinations.leaseSlots[destination] = service.leaseSlot;
    }
  }

  #forget(removed: RunningService): void {
    for (const [destination, service] of this.#destinations.services.entries()) {
      if (service === removed) this.#destinations.services[destination] = undefined;
    }
  }

  #index(configured: readonly EngineAddress[]): void {
    const served = new Set(this.running.map((service) => service.compiled.service.address));
    const known = new Set(configured.map((address) => address.address));
    const unlisted = [...served].filter((address) => !known.has(address));
    this.addresses = [
      // An address that the kernel answers for and that carries no service is the kernel's alone.
      ...configured.filter((address) => address.answer || served.has(address.address)),
      ...unlisted.map((address) => ({ address, interface: '', leaseSlot: endlessLease, answer: false })),
    ];
    this.#addressIndex = new KeyIndex(this.addresses.length);
    for (const [number, { address }] of this.addresses.entries()) this.#addressIndex.add(address, 0, number);
    this.#serviceIndex = new KeyIndex(this.running.length);
    for (const [number, { compiled }] of this.running.entries()) {
      const { address, port, protocol } = compiled.service;
      this.#serviceIndex.add(address, endpointTag(protocolNumbers[protocol], port), number);
    }
    const masqueraded = this.running.flatMap(({ compiled: { service } }) =>
      service.realServers
        .filter((realServer) => realServer.forwardingMethod === 'masquerade')
        .map(({ address, port }) => ({ address, tag: endpointTag(protocolNumbers[service.protocol], port) })),
    );
    this.#replyIndex = new KeyIndex(masqueraded.length);
    for (const { address, tag } of masqueraded) this.#replyIndex.add(address, tag, 0);
  }
}
