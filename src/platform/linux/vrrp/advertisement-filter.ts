// SPDX-License-Identifier: Apache-2.0
import { readU32 } from '../../../lib/bytes.ts';
import { type IpAddress, ipAddressBytes } from '../../../lib/ip-address.ts';
import { Ipv6Offset } from '../../../wire/ipv6.ts';
import {
  BPF_JEQ_K,
  BPF_JGE_K,
  BPF_JGT_K,
  BPF_LD_B_ABS,
  BPF_LD_W_ABS,
  BPF_RET_K,
  type Instruction,
  SKF_NET_OFF,
} from '../packet/socket-filter.ts';

export interface HopLimitRange {
  readonly min: number;
  readonly max: number;
}

/** The length a message is cut to when its hop limit is out of range. No advertisement is as short. */
export const markedLength = 1;

const wholeMessage = 0x4_0000;
const pass: Instruction = [BPF_RET_K, 0, 0, wholeMessage];
const mark: Instruction = [BPF_RET_K, 0, 0, markedLength];
const drop: Instruction = [BPF_RET_K, 0, 0, 0];

/**
 * A raw IPv6 socket is given neither the destination nor the hop limit of a packet. So each socket hears one
 * destination alone, and a packet whose hop limit is out of its sender's range reaches it cut to one byte, to be
 * counted. `ranges` are by sender; `others` holds for all other senders.
 */
export function vrrpIpv6Filter(
  destination: IpAddress,
  ranges: ReadonlyMap<IpAddress, HopLimitRange>,
  others: HopLimitRange,
): Instruction[] {
  return [
    ...unlessEqual(Ipv6Offset.destination, destination, [drop]),
    ...[...ranges].flatMap(([source, range]) => ifEqual(Ipv6Offset.source, source, checkHopLimit(range))),
    ...checkHopLimit(others),
  ];
}

/** Ends the program. */
function checkHopLimit({ min, max }: HopLimitRange): Instruction[] {
  return [
    [BPF_LD_B_ABS, 0, 0, SKF_NET_OFF + Ipv6Offset.hopLimit],
    [BPF_JGE_K, 0, 2, min],
    [BPF_JGT_K, 1, 0, max],
    pass,
    mark,
  ];
}

/** Runs `then` when the 16 bytes are the address, otherwise goes on after it. */
function ifEqual(offset: number, address: IpAddress, then: readonly Instruction[]): Instruction[] {
  return wordsOf(address)
    .flatMap((word, i): Instruction[] => [
      [BPF_LD_W_ABS, 0, 0, SKF_NET_OFF + offset + 4 * i],
      [BPF_JEQ_K, 0, 2 * (3 - i) + then.length, word],
    ])
    .concat(then);
}

/** Runs `otherwise`, which ends the program, when the 16 bytes are not the address. */
function unlessEqual(offset: number, address: IpAddress, otherwise: readonly Instruction[]): Instruction[] {
  return wordsOf(address)
    .flatMap((word, i): Instruction[] => [
      [BPF_LD_W_ABS, 0, 0, SKF_NET_OFF + offset + 4 * i],
      i < 3 ? [BPF_JEQ_K, 0, 2 * (3 - i), word] : [BPF_JEQ_K, otherwise.length, 0, word],
    ])
    .concat(otherwise);
}

function wordsOf(address: IpAddress): number[] {
  const bytes = ipAddressBytes(address);
  return [0, 4, 8, 12].map((at) => readU32(bytes, at));
}
