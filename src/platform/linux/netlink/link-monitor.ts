// SPDX-License-Identifier: Apache-2.0

import type { NetlinkMessage } from './message.ts';
import { NetlinkSocket } from './netlink-socket.ts';
import { ifinfomsgLength, parseLink, RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTNLGRP_LINK } from './rtnetlink.ts';

/**
 * Node has no way to wait for a descriptor that is not a socket of its own, so reports are fetched this often. A link
 * that goes down is noticed well within the active down interval of a peer.
 */
const periodMs = 20;

/**
 * Reports by name every interface whose link comes up or goes down, beginning with those that are down already. An
 * interface that is deleted counts as down. Returns the function that ends the reports.
 */
export function monitorLinks(onChange: (interfaceName: string, up: boolean) => void): () => void {
  const monitor = new NetlinkSocket([RTNLGRP_LINK]);
  const requests = new NetlinkSocket();
  const known = new Map<string, boolean>();
  const set = (name: string, up: boolean): void => {
    if ((known.get(name) ?? true) !== up) onChange(name, up);
    known.set(name, up);
  };
  const apply = ({ type, payload }: NetlinkMessage): void => {
    if (type !== RTM_NEWLINK && type !== RTM_DELLINK) return;
    const link = parseLink(payload);
    if (link.ok) set(link.value.name, type === RTM_NEWLINK && link.value.up && link.value.running);
  };
  const readAll = (): void => {
    const found = new Map<string, boolean>();
    requests.dump(
      RTM_GETLINK,
      new Uint8Array(ifinfomsgLength),
      () => found.clear(),
      ({ type, payload }) => {
        const link = type === RTM_NEWLINK ? parseLink(payload) : undefined;
        if (link?.ok) found.set(link.value.name, link.value.up && link.value.running);
      },
    );
    for (const name of known.keys()) if (!found.has(name)) set(name, false);
    for (const [name, up] of found) set(name, up);
  };
  readAll();
  const timer = setInterval(() => {
    if (monitor.receive(apply) === 'overrun') readAll();
  }, periodMs);
  return () => {
    clearInterval(timer);
    monitor.close();
    requests.close();
  };
}
