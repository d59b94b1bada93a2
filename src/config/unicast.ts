// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, parseIpAddress } from '../lib/ip-address.ts';
import type { UnicastPeer, VirtualRouter } from '../model/virtual-router.ts';
import { quote, reportOption } from './language/block-reader.ts';
import { type DiagnosticCollector, formatPlace, type Span } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import { checkWholeNumber, familyName, noArguments, onlyArgument } from './language/values.ts';

/** The statements of a vrrp_instance about the addresses that its advertisements go from and to. */
export interface UnicastStatement {
  source: Word | undefined;
  /** The last unicast keyword: the place of a problem that concerns all of them. */
  unicastSpan: Span | undefined;
  faultWithoutPeers: boolean;
  readonly peers: PlacedPeer[];
}

interface PlacedPeer extends UnicastPeer {
  readonly span: Span;
}

const ttlRange = { min: 0, max: 255 };
const peerOptions = ['min_ttl', 'max_ttl'] as const;
/** Far above any cluster: each advertisement is sent to every peer. */
const peersMax = 64;

export function unicastReaders(unicast: UnicastStatement, diagnostics: DiagnosticCollector) {
  return {
    unicast_src_ip: (statement: Statement) => {
      unicast.unicastSpan = statement.keyword.span;
      unicast.source = onlyArgument(statement, diagnostics) ?? unicast.source;
    },
    mcast_src_ip: (statement: Statement) => {
      unicast.source = onlyArgument(statement, diagnostics) ?? unicast.source;
    },
    unicast_peer: (statement: Statement) => {
      unicast.unicastSpan = statement.keyword.span;
      noArguments(statement, diagnostics);
      for (const entry of statement.block?.statements ?? []) readPeer(entry, unicast.peers, diagnostics);
    },
    // Advertisements are accepted from the peers only, with or without this keyword.
    check_unicast_src: (statement: Statement) => {
      unicast.unicastSpan = statement.keyword.span;
      noArguments(statement, diagnostics);
    },
    unicast_fault_no_peer: (statement: Statement) => {
      noArguments(statement, diagnostics);
      unicast.unicastSpan = statement.keyword.span;
      unicast.faultWithoutPeers = true;
    },
  };
}

/** `ADDR [min_ttl N] [max_ttl N]` */
function readPeer(statement: Statement, peers: PlacedPeer[], diagnostics: DiagnosticCollector): void {
  const { text, span } = statement.keyword;
  if (statement.block !== undefined) diagnostics.error(statement.block.span, 'a unicast_peer takes no block');
  const address = parseIpAddress(text);
  if (address === undefined) {
    diagnostics.error(span, `${quote(text)} is not an IP address`);
    return;
  }
  const ttl = { min_ttl: ttlRange.min, max_ttl: ttlRange.max };
  for (let i = 0; i < statement.arguments.length; i += 2) {
    const word = statement.arguments[i]!;
    const value = statement.arguments[i + 1];
    const option = peerOptions.find((name) => name === word.text);
    if (option === undefined) reportOption('unicast_peer', word, peerOptions, diagnostics);
    else if (value === undefined) diagnostics.error(word.span, `${option} needs a value`);
    else ttl[option] = checkWholeNumber(value, option, ttlRange, diagnostics) ?? ttl[option];
  }
  if (ttl.min_ttl > ttl.max_ttl) {
    diagnostics.error(
      span,
      `min_ttl ${ttl.min_ttl} is above max_ttl ${ttl.max_ttl}: nothing would be taken from ${address}`,
    );
  }
  const earlier = peers.find((peer) => peer.address === address);
  if (earlier !== undefined) {
    diagnostics.warning(span, `${address} is given already at ${formatPlace(earlier.span)}: this one is ignored`);
  } else if (peers.length === peersMax) {
    diagnostics.error(span, `there are more than ${peersMax} unicast peers; remove some`);
  } else peers.push({ span, address, minTtl: ttl.min_ttl, maxTtl: ttl.max_ttl });
}

/** Checks that the addresses are of the instance's family. Without a peer multicast is used, as keepalived does. */
export function completeUnicast(
  unicast: UnicastStatement,
  name: string,
  family: Family,
  diagnostics: DiagnosticCollector,
): Pick<VirtualRouter, 'sourceAddress' | 'unicastPeers'> {
  const { source, peers, unicastSpan } = unicast;
  const checkFamily = (address: IpAddress, span: Span): boolean => {
    if (familyOf(address) === family) return true;
    diagnostics.error(span, `${address} is not an ${familyName(family)} address as those of vrrp_instance ${name} are`);
    return false;
  };
  const sourceAddress = source === undefined ? undefined : parseIpAddress(source.text);
  if (source !== undefined) {
    if (sourceAddress === undefined) diagnostics.error(source.span, `${quote(source.text)} is not an IP address`);
    else checkFamily(sourceAddress, source.span);
  }
  for (const { address, span } of peers) {
    if (checkFamily(address, span) && address === sourceAddress) {
      diagnostics.error(span, `${address} is the source of this director's own advertisements: name only its peers`);
    }
  }
  if (unicastSpan !== undefined && peers.length === 0) {
    if (unicast.faultWithoutPeers) {
      diagnostics.error(
        unicastSpan,
        `vrrp_instance ${name} has no unicast_peer, and unicast_fault_no_peer forbids it to use multicast`,
      );
    } else {
      diagnostics.warning(
        unicastSpan,
        `vrrp_instance ${name} has no unicast_peer: its advertisements go to the multicast group`,
      );
    }
  }
  return {
    ...(sourceAddress === undefined ? {} : { sourceAddress }),
    ...(peers.length === 0
      ? {}
      : { unicastPeers: peers.map(({ address, minTtl, maxTtl }) => ({ address, minTtl, maxTtl })) }),
  };
}
