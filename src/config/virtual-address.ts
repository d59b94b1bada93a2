// SPDX-License-Identifier: Apache-2.0
import { familyOf, type IpAddress, ipAddressBytes, ipAddressFromBytes, parseIpAddress } from '../lib/ip-address.ts';
import { parsePrefix } from '../lib/prefix.ts';
import type { VirtualAddress } from '../model/virtual-router.ts';
import { quote, reportOption } from './language/block-reader.ts';
import type { DiagnosticCollector, Span } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import { checkInterfaceName, checkWholeNumber, parseWholeNumber } from './language/values.ts';

/** An entry of `virtual_ipaddress`: its interface is that of the instance unless `dev` names another. */
export interface VirtualAddressEntry extends Omit<VirtualAddress, 'interface'> {
  readonly span: Span;
  readonly interface: string | undefined;
}

/** The names of iproute2's rt_scopes. */
const scopes: Readonly<Record<string, number>> = {
  global: 0,
  universe: 0,
  site: 200,
  link: 253,
  host: 254,
  nowhere: 255,
};

const supportedOptions = ['dev', 'brd', 'broadcast', 'scope', 'label'] as const;
/** Options that keepalived knows, each with the number of words that follow it. */
const ignoredOptions: Readonly<Record<string, number>> = {
  home: 0,
  '-nodad': 0,
  mngtmpaddr: 0,
  noprefixroute: 0,
  autojoin: 0,
  no_track: 0,
  use_vmac: 0,
  preferred_lft: 1,
};

/**
 * `ADDR[/LEN] [dev IF] [brd ADDR|+|-] [scope S] [label L]`, as `ip address add` takes it. Without /LEN it is a /32 or
 * /128.
 */
export function readVirtualAddress(
  statement: Statement,
  diagnostics: DiagnosticCollector,
): VirtualAddressEntry | undefined {
  const { text, span } = statement.keyword;
  if (statement.block !== undefined) diagnostics.error(statement.block.span, 'an address takes no block');
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    diagnostics.error(span, `${quote(text)} is not an address: write ADDRESS or ADDRESS/LENGTH`);
    return undefined;
  }
  const options = readOptions(statement, diagnostics);
  if (familyOf(prefix.address) === 'ipv6') refuseIpv4Options(options, diagnostics);
  const broadcast = options.brd === undefined ? undefined : broadcastOf(options.brd, prefix, diagnostics);
  const scope = options.scope === undefined ? undefined : scopeOf(options.scope, diagnostics);
  const label = options.label === undefined ? undefined : labelOf(options.label, diagnostics);
  return {
    span,
    address: prefix.address,
    prefixLength: prefix.length,
    interface: options.dev === undefined ? undefined : checkInterfaceName(options.dev, diagnostics),
    ...(broadcast === undefined ? {} : { broadcast }),
    ...(scope === undefined ? {} : { scope }),
    ...(label === undefined ? {} : { label }),
  };
}

type Options = Partial<Record<'dev' | 'brd' | 'scope' | 'label', Word>>;

function readOptions(statement: Statement, diagnostics: DiagnosticCollector): Options {
  const options: Options = {};
  const words = statement.arguments;
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!;
    const supported = supportedOptions.find((name) => name === word.text);
    if (supported !== undefined) {
      i += 1;
      const value = words[i];
      if (value === undefined) diagnostics.error(word.span, `${word.text} needs a value`);
      else options[supported === 'broadcast' ? 'brd' : supported] = value;
    } else if (Object.hasOwn(ignoredOptions, word.text)) {
      diagnostics.warning(word.span, `${word.text} is not supported yet; it is ignored`);
      i += ignoredOptions[word.text]!;
    } else if (word.text === 'peer') {
      diagnostics.error(word.span, 'peer is not supported yet: the address would be another one');
      i += 1;
    } else {
      reportOption('address', word, supportedOptions, diagnostics, [...Object.keys(ignoredOptions), 'peer']);
    }
  }
  return options;
}

/** IPv6 has neither broadcasts nor labels (keepalived vrrp_ipaddress.c, alloc_ipaddress, drops the label). */
function refuseIpv4Options(options: Options, diagnostics: DiagnosticCollector): void {
  if (options.brd !== undefined) diagnostics.error(options.brd.span, 'IPv6 has no broadcast address: leave brd out');
  if (options.label !== undefined) diagnostics.warning(options.label.span, 'IPv6 has no labels: label is ignored');
  delete options.brd;
  delete options.label;
}

function broadcastOf(
  word: Word,
  prefix: { readonly address: IpAddress; readonly length: number },
  diagnostics: DiagnosticCollector,
): IpAddress | undefined {
  if (word.text === '+' || word.text === '-') {
    if (prefix.length > 30) {
      diagnostics.error(word.span, `a /${prefix.length} has no broadcast address: leave brd out`);
      return undefined;
    }
    const bytes = ipAddressBytes(prefix.address);
    const hostMask = 0xffff_ffff >>> prefix.length;
    const bits = new DataView(bytes.buffer);
    const value = bits.getUint32(0);
    bits.setUint32(0, word.text === '+' ? value | hostMask : value & ~hostMask);
    return ipAddressFromBytes(bytes);
  }
  const address = parseIpAddress(word.text);
  if (address !== undefined && familyOf(address) === 'ipv4') return address;
  diagnostics.error(word.span, `${quote(word.text)} is not a broadcast address: write an IPv4 address, + or -`);
  return undefined;
}

function scopeOf(word: Word, diagnostics: DiagnosticCollector): number | undefined {
  if (Object.hasOwn(scopes, word.text)) return scopes[word.text];
  if (parseWholeNumber(word.text, { min: 0, max: 255 }) === undefined && !/^\d/.test(word.text)) {
    reportOption('scope', word, Object.keys(scopes), diagnostics);
    return undefined;
  }
  return checkWholeNumber(word, 'scope', { min: 0, max: 255 }, diagnostics);
}

/** IFA_LABEL has the size of an interface name. */
function labelOf(word: Word, diagnostics: DiagnosticCollector): string | undefined {
  if (word.text.length > 0 && word.text.length <= 15) return word.text;
  diagnostics.error(word.span, `the label ${quote(word.text)} is longer than 15 characters`);
  return undefined;
}
