// SPDX-License-Identifier: Apache-2.0
import { type Family, ipAddressBytes, parseIpAddress } from '../lib/ip-address.ts';
import type { Persistence } from '../model/virtual-service.ts';
import { quote } from './language/block-reader.ts';
import type { DiagnosticCollector } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import { onlyArgument, readWholeNumber } from './language/values.ts';

/** `persistence_timeout` and `persistence_granularity` as written. */
export interface PersistenceStatement {
  timeoutMs: number | undefined;
  granularity: Word | undefined;
}

/** IPVS_SVC_PERSISTENT_TIMEOUT of keepalived. */
const defaultTimeoutMs = 360_000;
/** LVS_MAX_TIMEOUT: 31 days. */
const timeoutRange = { min: 1, max: 86_400 * 31 };

export function persistenceReaders(persistence: PersistenceStatement, diagnostics: DiagnosticCollector) {
  return {
    persistence_timeout: (statement: Statement) => {
      if (statement.arguments.length === 0) {
        persistence.timeoutMs = defaultTimeoutMs;
        return;
      }
      const seconds = readWholeNumber(statement, timeoutRange, diagnostics);
      if (seconds !== undefined) persistence.timeoutMs = seconds * 1000;
    },
    persistence_granularity: (statement: Statement) => {
      persistence.granularity = onlyArgument(statement, diagnostics) ?? persistence.granularity;
    },
  };
}

/** Either of the two keywords makes a service persistent (check_parser.c, pgr_handler). */
export function completePersistence(
  { timeoutMs, granularity }: PersistenceStatement,
  family: Family,
  diagnostics: DiagnosticCollector,
): Persistence | undefined {
  if (timeoutMs === undefined && granularity === undefined) return undefined;
  const host = family === 'ipv6' ? 128 : 32;
  const prefixLength = granularity === undefined ? host : prefixLengthOf(granularity, family, diagnostics);
  return { timeoutMs: timeoutMs ?? defaultTimeoutMs, prefixLength: prefixLength ?? host };
}

/** A netmask in IPv4, a prefix length in IPv6, as ipvsadm -M takes them. */
function prefixLengthOf(word: Word, family: Family, diagnostics: DiagnosticCollector): number | undefined {
  if (family === 'ipv6') {
    const length = /^\d{1,3}$/.test(word.text) ? Number(word.text) : 0;
    if (length >= 1 && length <= 128) return length;
    const wanted = 'persistence_granularity of an IPv6 service must be a prefix length from 1 to 128';
    diagnostics.error(word.span, `${wanted}, not ${quote(word.text)}`);
    return undefined;
  }
  const length = netmaskLength(word.text);
  if (length === undefined) {
    const wanted = 'persistence_granularity must be a netmask such as 255.255.255.0, ones before zeros';
    diagnostics.error(word.span, `${wanted}, not ${quote(word.text)}`);
  }
  return length;
}

function netmaskLength(text: string): number | undefined {
  const address = /^[\d.]+$/.test(text) ? parseIpAddress(text) : undefined;
  if (address === undefined) return undefined;
  const bits = [...ipAddressBytes(address)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1+0*$/.test(bits) ? bits.lastIndexOf('1') + 1 : undefined;
}
