// SPDX-License-Identifier: Apache-2.0
import { type Advertisement, advertisementLength, emitAdvertisement } from '../../../vrrp/packet.ts';
import { type IpAddress, parseIpAddress } from '../../lib/ip-address.ts';
import { checked, close, errno, type PinnedMemory, pinnedMemory, sendto } from '../../platform/linux/libc.ts';
import { errnos } from '../../platform/linux/system-error.ts';
import { EtherType, emitEthernet, ethernetLength, parseMacAddress } from '../../wire/ethernet.ts';
import { emitIpv4, IpProtocol, ipv4HeaderLengthMin } from '../../wire/ipv4.ts';
import { emitIpv6, ipv6HeaderLength } from '../../wire/ipv6.ts';
import { serveRemote } from '../remote.ts';
import { type PaceReport, sendPaced } from './pace.ts';
import { openTransmitter } from './packet-socket.ts';

// A third host on the directors' segment that advertises their virtual routers, far more often than any router does.

export interface RivalOptions {
  readonly interface: string;
  readonly macAddress: string;
  readonly routers: readonly RivalRouter[];
  readonly count: number;
  readonly rate: number;
}

export interface RivalRouter {
  readonly vrid: number;
  readonly priority: number;
  readonly intervalMs: number;
  /** The rival's own. */
  readonly source: string;
  readonly addresses: readonly string[];
}

/** RFC 9568 sections 5.1.1.2 and 5.1.2.2, and how their groups are mapped to Ethernet (RFC 1112, RFC 2464). */
const groups = {
  ipv4: { address: parseIpAddress('224.0.0.18')!, mac: parseMacAddress('01:00:5e:00:00:12')! },
  ipv6: { address: parseIpAddress('ff02::12')!, mac: parseMacAddress('33:33:00:00:00:12')! },
} as const;
const hopLimit = 255;

serveRemote({
  run: async ({ interface: name, macAddress, routers, count, rate }: RivalOptions): Promise<PaceReport> => {
    const fd = openTransmitter(name);
    const frames = routers.map((router) => advertisementFrame(router, parseMacAddress(macAddress)!));
    const report = await sendPaced(count, rate, (number) => send(fd, frames[number % frames.length]!));
    close(fd);
    return report;
  },
});

function advertisementFrame({ source, addresses, ...router }: RivalRouter, mac: Uint8Array): PinnedMemory {
  const own = parseIpAddress(source)!;
  const isIpv4 = !source.includes(':');
  const group = groups[isIpv4 ? 'ipv4' : 'ipv6'];
  const advertisement: Advertisement = {
    version: 3,
    authenticationType: 0,
    addresses: addresses.map((address): IpAddress => parseIpAddress(address)!),
    ...router,
  };
  const length = advertisementLength(advertisement);
  const headerLength = isIpv4 ? ipv4HeaderLengthMin : ipv6HeaderLength;
  const frame = pinnedMemory(ethernetLength() + headerLength + length);
  const { bytes } = frame;
  const endpoints = { source: own, destination: group.address };
  const etherType = isIpv4 ? EtherType.ipv4 : EtherType.ipv6;
  const network = emitEthernet({ destination: group.mac, source: mac, etherType }, bytes, 0);
  const common = { trafficClass: 0xc0, ...endpoints };
  const transport = isIpv4
    ? emitIpv4(
        {
          ...common,
          totalLength: headerLength + length,
          identification: 0,
          dontFragment: false,
          moreFragments: false,
          fragmentOffset: 0,
          ttl: hopLimit,
          protocol: IpProtocol.vrrp,
          options: new Uint8Array(0),
        },
        bytes,
        network,
      )
    : emitIpv6(
        { ...common, flowLabel: 0, payloadLength: length, nextHeader: IpProtocol.vrrp, hopLimit },
        bytes,
        network,
      );
  emitAdvertisement(advertisement, endpoints, bytes, transport);
  return frame;
}

/** False when a queue on the way is full. */
function send(fd: number, { address, bytes }: PinnedMemory): boolean {
  const result = sendto(fd, address, bytes.length, 0, 0, 0);
  if (result < 0 && errno() === errnos.ENOBUFS) return false;
  checked('sendto', result, 'send an advertisement');
  return true;
}
