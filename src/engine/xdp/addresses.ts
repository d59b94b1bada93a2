// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, ipAddressBytes, ipAddressFromBytes } from '../../lib/ip-address.ts';
import { endlessLease } from '../../model/lease.ts';
import type { EngineAddress } from '../engine.ts';
import { addToFilter, filterOf, writeFilter } from './address-filter.ts';
import { numberValue } from './endpoint-keys.ts';
import { AddressFlag } from './layout/enums.ts';
import { AddressLayout, PortLayout, SettingsLayout } from './layout/structs.ts';
import { leaseEndless, portsMax } from './limits.ts';
import type { XdpMaps } from './xdp-maps.ts';

/** An interface that the program is attached to. */
export interface XdpInterface {
  readonly name: string;
  readonly index: number;
  /** 6 bytes. */
  readonly macAddress: Uint8Array;
  /** The largest packet without its Ethernet header. */
  readonly mtu: number;
}

/** The number that the program has for a lease slot. */
export function leaseSlotOf(slot: number): number {
  return slot === endlessLease ? leaseEndless : slot;
}

/** Addresses and interfaces: what the program answers for, and where. */
export class Addresses {
  readonly #maps: Pick<XdpMaps, 'addresses' | 'ports' | 'egress' | 'settings'>;
  readonly #present = new Map<IpAddress, Uint8Array>();
  #interfaces: readonly XdpInterface[] = [];
  /** Undefined until the first `configure`: the addresses that a former process has configured stay until then. */
  #configured: readonly EngineAddress[] | undefined;
  #served: ReadonlySet<IpAddress> = new Set();

  constructor(maps: Pick<XdpMaps, 'addresses' | 'ports' | 'egress' | 'settings'>) {
    this.#maps = maps;
    for (const map of [maps.addresses.ipv4, maps.addresses.ipv6]) {
      for (const [key, value] of map.entries()) this.#present.set(ipAddressFromBytes(key), value.slice());
    }
  }

  /** Throws a sentence when there are more addresses of a family than the program has room for. */
  requireRoom(configured: readonly EngineAddress[], served: ReadonlySet<IpAddress>): void {
    const all = [...new Set([...configured.map(({ address }) => address), ...served])];
    for (const family of ['ipv4', 'ipv6'] as const) {
      const { maxEntries } = this.#maps.addresses[family];
      if (all.filter((address) => familyOf(address) === family).length <= maxEntries) continue;
      throw new RangeError(
        `the xdp engine has room for ${maxEntries} virtual addresses of a family; split the configuration between directors`,
      );
    }
  }

  /** Throws a sentence when two interfaces cannot be told apart. */
  setInterfaces(interfaces: readonly XdpInterface[]): void {
    requireDistinctPorts(interfaces);
    this.#interfaces = interfaces;
    const { ports, egress } = this.#maps;
    const byPlace = new Map(interfaces.map((one) => [one.index % portsMax, one]));
    for (let place = 0; place < ports.length; place += 1) {
      const one = byPlace.get(place);
      if (one === undefined) {
        if (ports.readWord(place, PortLayout.interfaceIndex) === 0) continue;
        egress.delete(numberValue(place));
        ports.value(place).fill(0);
        continue;
      }
      ports.value(place).set(one.macAddress, PortLayout.mac);
      ports.writeHalf(place, PortLayout.mtu, Math.min(one.mtu, 0xffff));
      ports.writeWord(place, PortLayout.interfaceIndex, one.index);
      egress.update(numberValue(place), numberValue(one.index));
    }
    this.#write();
  }

  /** `served`: the addresses of virtual services. */
  configure(configured: readonly EngineAddress[], served: ReadonlySet<IpAddress>): void {
    this.#configured = configured;
    this.#served = served;
    this.#write();
  }

  #write(): void {
    if (this.#configured === undefined) return;
    const wanted = this.#wanted(this.#configured);
    // The filter never lacks what the map has.
    const filter = filterOf([...wanted].filter(([, value]) => isServed(value)).map(([address]) => address));
    addToFilter(this.#maps.settings, SettingsLayout.served, filter);
    for (const address of this.#present.keys()) {
      if (wanted.has(address)) continue;
      this.#maps.addresses[familyOf(address)].delete(ipAddressBytes(address));
      this.#present.delete(address);
    }
    for (const [address, value] of wanted) {
      const present = this.#present.get(address);
      if (present !== undefined && Buffer.compare(present, value) === 0) continue;
      this.#maps.addresses[familyOf(address)].update(ipAddressBytes(address), value);
      this.#present.set(address, value);
    }
    writeFilter(this.#maps.settings, SettingsLayout.served, filter);
  }

  #wanted(configured: readonly EngineAddress[]): Map<IpAddress, Uint8Array> {
    const wanted = new Map<IpAddress, Uint8Array>();
    const indexes = new Map(this.#interfaces.map(({ name, index }) => [name, index]));
    for (const { address, interface: name, leaseSlot, answer } of configured) {
      const looked = answer || this.#served.has(address);
      const flags = (answer ? AddressFlag.answer : 0) | (looked ? AddressFlag.served : 0);
      if (!wanted.has(address)) wanted.set(address, addressValue(indexes.get(name) ?? 0, leaseSlot, flags));
    }
    // These are virtual services on an address that no virtual router holds.
    for (const address of this.#served) {
      if (!wanted.has(address)) wanted.set(address, addressValue(0, endlessLease, AddressFlag.served));
    }
    return wanted;
  }
}

function isServed(value: Uint8Array): boolean {
  return (value[AddressLayout.flags]! & AddressFlag.served) !== 0;
}

/** `struct address`. */
function addressValue(interfaceIndex: number, leaseSlot: number, flags: number): Uint8Array {
  const value = new Uint8Array(AddressLayout.size);
  new Uint32Array(value.buffer)[AddressLayout.interfaceIndex >> 2] = interfaceIndex;
  new Uint16Array(value.buffer)[AddressLayout.leaseSlot >> 1] = leaseSlotOf(leaseSlot);
  value[AddressLayout.flags] = flags;
  return value;
}

function requireDistinctPorts(interfaces: readonly XdpInterface[]): void {
  const byPlace = new Map<number, XdpInterface>();
  for (const one of interfaces) {
    const other = byPlace.get(one.index % portsMax);
    if (other !== undefined && other.index !== one.index) {
      throw new RangeError(
        `interfaces ${other.name} (index ${other.index}) and ${one.name} (index ${one.index}) have the same index modulo ${portsMax}, which the xdp engine cannot tell apart; create one of them again, or use the portable engine`,
      );
    }
    byPlace.set(one.index % portsMax, one);
  }
}
