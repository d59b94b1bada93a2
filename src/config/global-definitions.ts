// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf, type IpAddress, ipAddressBytes, parseIpAddress } from '../lib/ip-address.ts';
import { type DeadServerPolicy, deadServerPolicies } from '../model/dead-servers.ts';
import { defaultTimeouts, type ProtocolTimeouts } from '../model/timeouts.ts';
import { type AnnouncementPolicy, vrrpGroups } from '../model/virtual-router.ts';
import { quote, readStatements, reportOption } from './language/block-reader.ts';
import type { DiagnosticCollector, Span } from './language/diagnostic.ts';
import type { Word } from './language/lexer.ts';
import type { Statement } from './language/parser.ts';
import {
  checkAddress,
  checkInterfaceName,
  checkWholeNumber,
  noArguments,
  onlyArgument,
  parseWholeNumber,
  readSeconds,
  readSwitch,
  readWholeNumber,
} from './language/values.ts';

/** `lvs_sync_daemon` as written: the instance it names is looked up when all are known. */
export interface SyncStatement {
  readonly span: Span;
  readonly interface: string;
  readonly instance: Word | undefined;
  readonly syncId: number | undefined;
  /** `undefined`: the largest that fits the family it goes over. */
  readonly maxLength: number | undefined;
  readonly port: number;
  readonly ttl: number;
  readonly group: IpAddress;
  /** The group was written out, so unicast peers do not take its place. */
  readonly groupGiven: boolean;
}

export interface GlobalDefinitions {
  routerId: string | undefined;
  vrrpVersion: 2 | 3;
  /** v3_checksum_as_v2 */
  checksumAsV2: boolean;
  announcement: AnnouncementPolicy;
  sync: SyncStatement | undefined;
  timeouts: ProtocolTimeouts;
  deadServerPolicy: DeadServerPolicy | undefined;
}

/** keepalived include/vrrp.h: VRRP_GARP_*; the version is 2 by default (global_data.c). */
const defaultAnnouncement: AnnouncementPolicy = {
  repeat: 5,
  delayMs: 5000,
  refreshMs: 0,
  refreshRepeat: 1,
  intervalMs: 0,
};

/** UINT_MAX microseconds in seconds, keepalived's limit of a delay in whole seconds. */
export const garpDelayRange = { min: 0, max: 4294 };
export const garpRefreshRange = { min: 0, max: 4_294_967 };
/** keepalived allows four thousand million; more than this in a row is a mistake that floods the link. */
const garpRepeatRange = { min: 0, max: 1000 };

/** The group and port are the defaults of IPVS (ip_vs_sync.c). */
const syncDefaults = { port: 8848, ttl: 1, group: '224.0.0.81' as IpAddress };
/** The largest datagram body that fits 1500 bytes. */
export const syncMaxLengths = { ipv4: 1472, ipv6: 1452 } as const satisfies Record<Family, number>;
/** LVS_MAX_TIMEOUT: 31 days. */
const timeoutRange = { min: 0, max: 86_400 * 31 };

export function initialGlobalDefinitions(): GlobalDefinitions {
  return {
    routerId: undefined,
    vrrpVersion: 2,
    checksumAsV2: false,
    announcement: defaultAnnouncement,
    sync: undefined,
    timeouts: defaultTimeouts,
    deadServerPolicy: undefined,
  };
}

/** Reads one `global_defs` block into `globals`; several blocks add up. */
export function readGlobalDefinitions(
  block: Statement,
  globals: GlobalDefinitions,
  diagnostics: DiagnosticCollector,
): void {
  const announce = (change: Partial<AnnouncementPolicy>): void => {
    globals.announcement = { ...globals.announcement, ...change };
  };
  readStatements(
    block.block?.statements ?? [],
    'global_defs',
    {
      router_id: (statement) => {
        globals.routerId = onlyArgument(statement, diagnostics)?.text ?? globals.routerId;
      },
      vrrp_version: (statement) => {
        const version = readWholeNumber(statement, { min: 2, max: 3 }, diagnostics);
        if (version !== undefined) globals.vrrpVersion = version === 3 ? 3 : 2;
      },
      lvs_sync_daemon: (statement) => {
        globals.sync = readSyncDaemon(statement, diagnostics) ?? globals.sync;
      },
      lvs_timeouts: (statement) => {
        globals.timeouts = readTimeouts(statement, globals.timeouts, diagnostics);
      },
      expire_nodest_conn: (statement) => {
        globals.deadServerPolicy = readDeadServerPolicy(statement, diagnostics) ?? globals.deadServerPolicy;
      },
      vrrp_garp_master_delay: (statement) => {
        const seconds = readWholeNumber(statement, garpDelayRange, diagnostics);
        if (seconds !== undefined) announce({ delayMs: seconds * 1000 });
      },
      vrrp_garp_master_refresh: (statement) => {
        const seconds = readWholeNumber(statement, garpRefreshRange, diagnostics);
        if (seconds !== undefined) announce({ refreshMs: seconds * 1000 });
      },
      vrrp_garp_master_repeat: (statement) => {
        const repeat = readRepeat(statement, diagnostics);
        if (repeat !== undefined) announce({ repeat });
      },
      vrrp_garp_master_refresh_repeat: (statement) => {
        const refreshRepeat = readRepeat(statement, diagnostics);
        if (refreshRepeat !== undefined) announce({ refreshRepeat });
      },
      v3_checksum_as_v2: (statement) => {
        globals.checksumAsV2 = readSwitch(statement, diagnostics) ?? globals.checksumAsV2;
      },
      vrrp_mcast_group4: (statement) => onlyGroup(statement, vrrpGroups.ipv4, diagnostics),
      vrrp_mcast_group6: (statement) => onlyGroup(statement, vrrpGroups.ipv6, diagnostics),
      // Advertisements are accepted from the peers only, with or without this keyword.
      vrrp_check_unicast_src: (statement) => noArguments(statement, diagnostics),
      vrrp_garp_interval: (statement) => {
        const intervalMs = readSeconds(statement, { min: 0.000_001, max: 4294 }, diagnostics);
        if (intervalMs === undefined) return;
        announce({ intervalMs });
        if (intervalMs >= 1000) {
          diagnostics.warning(statement.keyword.span, 'vrrp_garp_interval is very long: it delays every takeover');
        }
      },
    },
    diagnostics,
  );
}

function readDeadServerPolicy(statement: Statement, diagnostics: DiagnosticCollector): DeadServerPolicy | undefined {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return undefined;
  const policy = deadServerPolicies.find((known) => known === word.text);
  if (policy === undefined) reportOption('expire_nodest_conn', word, deadServerPolicies, diagnostics);
  return policy;
}

/** Only RFC 9568's group may be written out: peers do not listen to another one. */
function onlyGroup(statement: Statement, group: string, diagnostics: DiagnosticCollector): void {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return;
  const address = checkAddress(word, diagnostics);
  if (address === undefined || address === group) return;
  diagnostics.error(word.span, `another group than ${group} is not supported yet: its peers would not hear this one`);
}

/** The number of announcements in a row: 0 is taken as 1, as keepalived does. */
export function readRepeat(statement: Statement, diagnostics: DiagnosticCollector): number | undefined {
  const repeat = readWholeNumber(statement, garpRepeatRange, diagnostics);
  if (repeat !== 0) return repeat;
  diagnostics.warning(statement.keyword.span, `${statement.keyword.text} must be at least 1: it counts as 1`);
  return 1;
}

/**
 * `IFACE [[inst] VRRP_INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDR]`, and the older `IFACE INSTANCE ID`.
 */
function readSyncDaemon(statement: Statement, diagnostics: DiagnosticCollector): SyncStatement | undefined {
  const [first, ...rest] = statement.arguments;
  if (first === undefined) {
    diagnostics.error(statement.keyword.span, 'lvs_sync_daemon needs an interface');
    return undefined;
  }
  const interfaceName = checkInterfaceName(first, diagnostics);
  const values = {
    ...syncDefaults,
    maxLength: undefined as number | undefined,
    groupGiven: false,
    instance: undefined as Word | undefined,
    syncId: undefined as number | undefined,
  };
  const number = (word: Word, name: string, min: number, max: number): number | undefined =>
    checkWholeNumber(word, `lvs_sync_daemon ${name}`, { min, max }, diagnostics);
  const options: Readonly<Record<string, (value: Word) => void>> = {
    inst: (value) => {
      values.instance = value;
    },
    id: (value) => {
      values.syncId = number(value, 'id', 0, 255);
    },
    maxlen: (value) => {
      values.maxLength = number(value, 'maxlen', 1, 65_507) ?? values.maxLength;
    },
    port: (value) => {
      values.port = number(value, 'port', 1, 65_535) ?? values.port;
    },
    ttl: (value) => {
      values.ttl = number(value, 'ttl', 1, 255) ?? values.ttl;
    },
    group: (value) => {
      values.group = readMulticastGroup(value, diagnostics) ?? values.group;
      values.groupGiven = true;
    },
  };
  for (let i = 0; i < rest.length; i += 1) {
    const word = rest[i]!;
    const option = Object.hasOwn(options, word.text) ? options[word.text] : undefined;
    if (option !== undefined) {
      const value = rest[i + 1];
      if (value === undefined) diagnostics.error(word.span, `lvs_sync_daemon ${word.text} needs a value`);
      else option(value);
      i += 1;
    } else if (i === 0) values.instance = word;
    else if (i === 1 && parseWholeNumber(word.text, { min: 0, max: 255 }) !== undefined) {
      values.syncId = Number(word.text);
      diagnostics.warning(word.span, `write id before ${word.text}: a number alone is an older form`);
    } else reportOption('lvs_sync_daemon', word, Object.keys(options), diagnostics);
  }
  return interfaceName === undefined
    ? undefined
    : { ...values, span: statement.keyword.span, interface: interfaceName };
}

function readMulticastGroup(word: Word, diagnostics: DiagnosticCollector): IpAddress | undefined {
  const address = parseIpAddress(word.text);
  if (address === undefined) diagnostics.error(word.span, `${quote(word.text)} is not an IP address`);
  else if (!isMulticast(address)) {
    diagnostics.error(word.span, `${address} is not a multicast group: give one from 224.0.0.0/4 or ff00::/8`);
  } else return address;
  return undefined;
}

function isMulticast(address: IpAddress): boolean {
  const first = ipAddressBytes(address)[0]!;
  return familyOf(address) === 'ipv6' ? first === 0xff : (first & 0xf0) === 0xe0;
}

/** `[tcp SECS] [tcpfin SECS] [udp SECS]`; 0 leaves a timeout as it is. */
function readTimeouts(
  statement: Statement,
  timeouts: ProtocolTimeouts,
  diagnostics: DiagnosticCollector,
): ProtocolTimeouts {
  const words = statement.arguments;
  const fields = { tcp: 'tcpMs', tcpfin: 'tcpFinMs', udp: 'udpMs' } as const;
  const result = { ...timeouts };
  if (words.length === 0)
    diagnostics.error(statement.keyword.span, 'lvs_timeouts needs at least one of tcp, tcpfin, udp');
  for (let i = 0; i < words.length; i += 1) {
    const word = words[i]!;
    if (!Object.hasOwn(fields, word.text)) {
      reportOption('lvs_timeouts', word, Object.keys(fields), diagnostics);
      continue;
    }
    i += 1;
    const value = words[i];
    if (value === undefined) {
      diagnostics.error(word.span, `lvs_timeouts ${word.text} needs a value`);
      continue;
    }
    const seconds = checkWholeNumber(value, `lvs_timeouts ${word.text}`, timeoutRange, diagnostics);
    if (seconds !== undefined && seconds > 0) result[fields[word.text as keyof typeof fields]] = seconds * 1000;
  }
  return result;
}
