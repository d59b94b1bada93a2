// SPDX-License-Identifier: Apache-2.0
import { type InterfaceFacts, interfaceFacts } from './interface-facts.ts';
import type { NetlinkMessage } from './message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import {
  ifinfomsgLength,
  type Link,
  parseInterfaceAddress,
  parseLink,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_DELNETCONF,
  RTM_GETLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWNETCONF,
  RTNLGRP_IPV4_IFADDR,
  RTNLGRP_IPV4_NETCONF,
  RTNLGRP_IPV6_IFADDR,
  RTNLGRP_IPV6_NETCONF,
  RTNLGRP_LINK,
} from './rtnetlink.ts';

/**
 * Node has no way to wait for a descriptor that is not a socket of its own, so reports are fetched this often. What
 * changes is noticed well within the active down interval of a peer.
 */
const periodMs = 20;
/** The reports of a host whose interfaces change without end must not keep the election from its timers. */
const datagramsMax = 64;

export interface InterfaceFollowerSettings {
  /** A link has come up or gone down; one that is deleted counts as down. */
  readonly onLink: (interfaceName: string, up: boolean) => void;
  /** An interface whose facts were asked for before has gained, lost or changed an address, or may have. */
  readonly onAddresses: (interfaceName: string) => void;
}

/**
 * Knows the facts of interfaces from memory, and forgets those that the kernel reports as changed (rtnetlink). To ask
 * the kernel costs half a millisecond, too much for each of many announcements.
 */
export class InterfaceFollower {
  readonly #monitor = new NetlinkSocket([
    RTNLGRP_LINK,
    RTNLGRP_IPV4_IFADDR,
    RTNLGRP_IPV6_IFADDR,
    RTNLGRP_IPV4_NETCONF,
    RTNLGRP_IPV6_NETCONF,
  ]);
  readonly #requests = new NetlinkSocket();
  #settings: InterfaceFollowerSettings | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** By name: whether the link is up. */
  readonly #links = new Map<string, boolean>();
  readonly #names = new Map<number, string>();
  /** By name: what was read since the last change. */
  readonly #facts = new Map<string, InterfaceFacts>();
  /** The names of those that were ever asked for. */
  readonly #followed = new Set<string>();
  readonly #readdressed = new Set<string>();
  #closed = false;

  /** Reports links that are down before it returns, then changes. */
  start(settings: InterfaceFollowerSettings): void {
    this.#settings = settings;
    this.#readLinks();
    this.#timer = setInterval(() => this.#poll(), periodMs);
  }

  /** As the kernel has reported them. Throws one sentence when there is no interface of that name. */
  facts(name: string): InterfaceFacts {
    const known = this.#facts.get(name);
    if (known !== undefined) return known;
    this.#followed.add(name);
    const found = interfaceFacts(name);
    this.#facts.set(name, found);
    return found;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#monitor.close();
    this.#requests.close();
  }

  #poll(): void {
    if (this.#monitor.receive((message) => this.#apply(message), datagramsMax) === 'overrun') {
      this.#forgetAll();
      this.#readLinks();
    }
    const readdressed = [...this.#readdressed];
    this.#readdressed.clear();
    for (const name of readdressed) this.#settings?.onAddresses(name);
  }

  #apply({ type, payload }: NetlinkMessage): void {
    if (type === RTM_NEWLINK || type === RTM_DELLINK) {
      const link = parseLink(payload);
      if (link.ok) this.#applyLink(link.value, type === RTM_DELLINK);
    } else if (type === RTM_NEWADDR || type === RTM_DELADDR) this.#applyAddress(payload, type === RTM_DELADDR);
    else if (type === RTM_NEWNETCONF || type === RTM_DELNETCONF) this.#facts.clear();
  }

  #applyLink(link: Link, gone: boolean): void {
    const former = this.#names.get(link.index);
    for (const name of [former, link.name]) if (name !== undefined) this.#facts.delete(name);
    if (gone) this.#names.delete(link.index);
    else this.#names.set(link.index, link.name);
    if (former !== undefined && former !== link.name) this.#setLink(former, false);
    this.#setLink(link.name, !gone && link.up && link.running);
  }

  /** The keeper of virtual addresses renews each of them every second, which changes nothing. */
  #applyAddress(payload: Uint8Array, gone: boolean): void {
    const parsed = parseInterfaceAddress(payload);
    if (!parsed.ok) return;
    const { interfaceIndex, address, prefixLength, secondary, tentative, permanent } = parsed.value;
    const name = this.#names.get(interfaceIndex);
    if (name === undefined || !this.#followed.has(name)) return;
    const known = this.#facts
      .get(name)
      ?.addresses.find((each) => each.address === address && each.prefixLength === prefixLength);
    const same =
      known?.secondary === secondary && known.tentative === tentative && known.permanent === permanent && !gone;
    if (same) return;
    this.#facts.delete(name);
    this.#readdressed.add(name);
  }

  #setLink(name: string, up: boolean): void {
    const before = this.#links.get(name) ?? true;
    this.#links.set(name, up);
    if (before !== up) this.#settings?.onLink(name, up);
  }

  #forgetAll(): void {
    for (const name of this.#followed) this.#readdressed.add(name);
    this.#facts.clear();
  }

  #readLinks(): void {
    const found: Link[] = [];
    this.#requests.dump(
      RTM_GETLINK,
      new Uint8Array(ifinfomsgLength),
      () => {
        found.length = 0;
      },
      ({ type, payload }) => {
        const link = type === RTM_NEWLINK ? parseLink(payload) : undefined;
        if (link?.ok) found.push(link.value);
      },
    );
    this.#names.clear();
    for (const { index, name } of found) this.#names.set(index, name);
    const present = new Set(found.map(({ name }) => name));
    for (const name of this.#links.keys()) if (!present.has(name)) this.#setLink(name, false);
    for (const { name, up, running } of found) this.#setLink(name, up && running);
  }
}
