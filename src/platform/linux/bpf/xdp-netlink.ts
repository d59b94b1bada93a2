// SPDX-License-Identifier: Apache-2.0
import type { XdpMode } from '../../../engine/xdp/bpf-object.ts';
import { setsockopt } from '../libc.ts';
import { NLM_F_ACK, NLMSG_ERROR, parseAttributes, viewOf } from '../netlink/message.ts';
import { NetlinkSocket } from '../netlink/netlink-socket.ts';
import { ifinfomsgLength, RTM_GETLINK } from '../netlink/rtnetlink.ts';

/** Ids of the programs on an interface, by mode; absent when there is none in that mode. */
export type XdpPrograms = { readonly [Mode in XdpMode]?: number };

// linux/rtnetlink.h, linux/if_link.h
const RTM_SETLINK = 19;
const IFLA_XDP = 43;
const NLA_F_NESTED = 0x8000;
const XdpAttribute = { fd: 1, flags: 3, nativeId: 5, genericId: 6, hardwareId: 7 } as const;
export const modeFlags: Readonly<Record<XdpMode, number>> = { generic: 1 << 1, native: 1 << 2 };
const XDP_FLAGS_UPDATE_IF_NOEXIST = 1 << 0;

// linux/netlink.h
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NLMSGERR_ATTR_MSG = 1;
/** The errno and the header of the request; its attributes follow. */
const errorLength = 20;

/** The programs on an interface, whichever process attached them. Undefined when there is no such interface. */
export function queryXdp(interfaceIndex: number): XdpPrograms | undefined {
  const netlink = new NetlinkSocket();
  try {
    const answer = netlink.query(RTM_GETLINK, interfaceHeader(interfaceIndex), []);
    if (typeof answer === 'number') return undefined;
    const attributes = parseAttributes(answer.payload, ifinfomsgLength);
    const nested = attributes.ok ? attributes.value.get(IFLA_XDP) : undefined;
    return nested === undefined ? {} : parseXdpPrograms(nested);
  } finally {
    netlink.close();
  }
}

/** Reads the nested attributes of IFLA_XDP. A program in hardware counts as native: it replaces the driver's. */
export function parseXdpPrograms(nested: Uint8Array): XdpPrograms {
  const parsed = parseAttributes(nested, 0);
  if (!parsed.ok) return {};
  const idOf = (attribute: number): number | undefined => {
    const value = parsed.value.get(attribute);
    return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, true);
  };
  const native = idOf(XdpAttribute.nativeId) ?? idOf(XdpAttribute.hardwareId);
  const generic = idOf(XdpAttribute.genericId);
  return { ...(native === undefined ? {} : { native }), ...(generic === undefined ? {} : { generic }) };
}

/**
 * The kernel's own text on why it refuses the program: bpf(2) does not return it, so the attachment is tried once more
 * over netlink. Undefined when there is no text. If the attachment succeeds there, it is undone at once.
 */
export function askWhyRefused(interfaceIndex: number, programFd: number, mode: XdpMode): string | undefined {
  const netlink = new NetlinkSocket();
  try {
    setsockopt(netlink.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    setsockopt(netlink.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    const flags = modeFlags[mode] | XDP_FLAGS_UPDATE_IF_NOEXIST;
    const attached = setProgram(netlink, interfaceIndex, programFd, flags);
    if (attached.error === 0) setProgram(netlink, interfaceIndex, -1, modeFlags[mode]);
    return attached.text;
  } finally {
    netlink.close();
  }
}

function setProgram(
  netlink: NetlinkSocket,
  interfaceIndex: number,
  programFd: number,
  flags: number,
): { readonly error: number; readonly text: string | undefined } {
  const nested = new Uint8Array(16);
  const view = viewOf(nested);
  view.setUint16(0, 8, true);
  view.setUint16(2, XdpAttribute.fd, true);
  view.setInt32(4, programFd, true);
  view.setUint16(8, 8, true);
  view.setUint16(10, XdpAttribute.flags, true);
  view.setUint32(12, flags, true);
  const header = interfaceHeader(interfaceIndex);
  const sequence = netlink.send(RTM_SETLINK, NLM_F_ACK, header, [[IFLA_XDP | NLA_F_NESTED, nested]]);
  let answer: { error: number; text: string | undefined } = { error: -1, text: undefined };
  // The kernel has answered before the request's sendto(2) returned.
  netlink.receive((message) => {
    if (message.sequence !== sequence || message.type !== NLMSG_ERROR) return;
    const attributes = parseAttributes(message.payload, errorLength);
    const text = attributes.ok ? attributes.value.get(NLMSGERR_ATTR_MSG) : undefined;
    answer = {
      error: viewOf(message.payload).getInt32(0, true),
      text: text === undefined ? undefined : new TextDecoder().decode(text).replace(/\0+$/, ''),
    };
  });
  return answer;
}

function interfaceHeader(interfaceIndex: number): Uint8Array {
  const header = new Uint8Array(ifinfomsgLength);
  viewOf(header).setInt32(4, interfaceIndex, true);
  return header;
}
