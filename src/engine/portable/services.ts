// SPDX-License-Identifier: Apache-2.0
import { forwardingMethods } from '../../model/forwarding-method.ts';
import { endlessLease } from '../../model/lease.ts';
import { availableRealServers } from '../../model/selector.ts';
import { protocolNumbers, requireForwardable, virtualServiceName } from '../../model/virtual-service.ts';
import type { EngineAddress, EngineConfiguration } from '../engine.ts';
import { type Destinations, trafficFields } from './destinations.ts';
import { EntryFlag } from './entry-layout.ts';
import { addressWords, endpointTag, KeyIndex } from './key-index.ts';
import type { NextHopResolver } from './next-hop.ts';
import type { RunningService } from './running-service.ts';

/** The configuration in force: addresses, virtual services and their real servers. */
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
    for (const { service } of configuration.services) requireForwardable(service);
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
        available: new Uint8Array(0),
        addressWords: addressWords(compiled.service.address),
        cursor: 0,
        retiredTraffic: new Float64Array(trafficFields),
      };
      before.delete(name);
      service.compiled = compiled;
      service.leaseSlot = leaseSlot;
      service.available = Uint8Array.from(availableRealServers(compiled), Number);
      service.destinations = Int32Array.from(compiled.service.realServers, (realServer) =>
        this.#destinations.acquire(service, realServer, leaseSlot, this.#resolver),
      );
      return service;
    });
    this.#followLeases();
    this.#followHealth();
    for (const removed of before.values()) this.#forget(removed);
    this.#index(configuration.addresses);
    this.collect();
  }

  /** Frees real servers that have left the configuration and whose last connection has gone. */
  collect(): void {
    const configured = new Set(this.running.flatMap((service) => [...service.destinations]));
    this.#destinations.collect((destination) => configured.has(destination));
  }

  /** The index of the address in `addresses`; -1: it is not the engine's. */
  findAddressIpv4(address: number): number {
    return this.#addressIndex.findIpv4(address, 0);
  }

  /** As `findAddressIpv4`, for either family: the address in the four words from `at` on. */
  findAddress(ipv6: boolean, words: Int32Array, at: number): number {
    return this.#addressIndex.find(ipv6, words, at, 0);
  }

  /** `head`: protocol and `EntryFlag.ipv6`. `words` holds the virtual address in four words from `at` on. */
  findService(head: number, words: Int32Array, at: number, port: number): RunningService | undefined {
    const tag = endpointTag(head & 0xff, port);
    return this.running[this.#serviceIndex.find((head & EntryFlag.ipv6) !== 0, words, at, tag)];
  }

  /** The service of the real server with this endpoint, if its replies pass here; the first one of several. */
  findReplyService(head: number, words: Int32Array, at: number, port: number): RunningService | undefined {
    const tag = endpointTag(head & 0xff, port);
    return this.running[this.#replyIndex.find((head & EntryFlag.ipv6) !== 0, words, at, tag)];
  }

  /** Real servers that have left the configuration obey the lease of their service as well. */
  #followLeases(): void {
    for (const [destination, service] of this.#destinations.services.entries()) {
      if (service !== undefined) this.#destinations.leaseSlots[destination] = service.leaseSlot;
    }
  }

  /** Real servers that have left the configuration are no more alive than those that their checks have taken out. */
  #followHealth(): void {
    const { alive } = this.#destinations;
    alive.fill(0);
    for (const { destinations, available } of this.running) {
      for (const [index, destination] of destinations.entries()) if (available[index] === 1) alive[destination] = 1;
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
    const replying = this.running.flatMap(({ compiled: { service } }, number) =>
      service.realServers
        .filter(({ forwardingMethod }) => forwardingMethods[forwardingMethod].seesReplies)
        .map(({ address, port }) => ({ address, tag: endpointTag(protocolNumbers[service.protocol], port), number })),
    );
    this.#replyIndex = new KeyIndex(replying.length);
    for (const { address, tag, number } of replying) this.#replyIndex.add(address, tag, number);
  }
}
