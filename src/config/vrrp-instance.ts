// SPDX-License-Identifier: Apache-2.0
import { type Family, familyOf } from '../lib/ip-address.ts';
import { type AnnouncementPolicy, ownerPriority, type VirtualRouter } from '../model/virtual-router.ts';
import { type GlobalDefinitions, garpDelayRange, garpRefreshRange, readRepeat } from './global-definitions.ts';
import { quote, readStatements } from './language/block-reader.ts';
import { type DiagnosticCollector, formatPlace, type Span } from './language/diagnostic.ts';
import type { Statement } from './language/parser.ts';
import {
  checkInterfaceName,
  familyName,
  noArguments,
  onlyArgument,
  readSeconds,
  readSwitch,
  readWholeNumber,
} from './language/values.ts';
import { completeUnicast, type UnicastStatement, unicastReaders } from './unicast.ts';
import { readVirtualAddress, type VirtualAddressEntry } from './virtual-address.ts';

/** A `vrrp_instance` as written: `completeInstance` fills in the defaults when all of `global_defs` is known. */
export interface InstanceStatement {
  readonly span: Span;
  readonly name: string;
  state: 'MASTER' | 'BACKUP' | undefined;
  interface: string | undefined;
  vrid: number | undefined;
  version: 2 | 3 | undefined;
  priority: number | undefined;
  advertIntervalMs: number | undefined;
  advertIntervalSpan: Span;
  preempt: boolean;
  preemptSpan: Span;
  preemptDelayMs: number;
  preemptDelaySpan: Span;
  readonly addresses: VirtualAddressEntry[];
  checksumAsV2: boolean | undefined;
  nativeIpv6Span: Span | undefined;
  versionSpan: Span;
  readonly unicast: UnicastStatement;
  announcement: Partial<AnnouncementPolicy>;
  /** An interface was named, even if its name is wrong: then it is not reported as missing as well. */
  interfaceGiven: boolean;
  vridGiven: boolean;
  addressesGiven: boolean;
}

/**
 * The count of addresses is one byte in an advertisement (RFC 9568 section 5.2.4), and an Ethernet frame holds no more
 * than this in IPv6 (vrrp.c, vrrp_complete_instance).
 */
const addressesMax = { ipv4: 255, ipv6: 89 } as const satisfies Record<Family, number>;
const defaultPriority = 100;
const defaultAdvertIntervalMs = 1000;
/** TIMER_MAX_SEC of keepalived. */
const preemptDelayRange = { min: 0, max: 1000 };

export function readInstance(statement: Statement, diagnostics: DiagnosticCollector): InstanceStatement | undefined {
  const { span } = statement.keyword;
  const name = onlyArgument(statement, diagnostics);
  const instance: InstanceStatement = {
    span: name?.span ?? span,
    name: name?.text ?? '',
    state: undefined,
    interface: undefined,
    vrid: undefined,
    version: undefined,
    priority: undefined,
    advertIntervalMs: undefined,
    advertIntervalSpan: span,
    preempt: true,
    preemptSpan: span,
    preemptDelayMs: 0,
    preemptDelaySpan: span,
    addresses: [],
    checksumAsV2: undefined,
    nativeIpv6Span: undefined,
    versionSpan: span,
    unicast: { source: undefined, unicastSpan: undefined, faultWithoutPeers: false, peers: [] },
    announcement: {},
    interfaceGiven: false,
    vridGiven: false,
    addressesGiven: false,
  };
  readStatements(statement.block?.statements ?? [], 'vrrp_instance', readers(instance, diagnostics), diagnostics);
  return name === undefined ? undefined : instance;
}

function readers(instance: InstanceStatement, diagnostics: DiagnosticCollector) {
  const announce = (change: Partial<AnnouncementPolicy>): void => {
    instance.announcement = { ...instance.announcement, ...change };
  };
  return {
    ...unicastReaders(instance.unicast, diagnostics),
    state: (statement: Statement) => readState(statement, instance, diagnostics),
    interface: (statement: Statement) => {
      instance.interfaceGiven = true;
      const word = onlyArgument(statement, diagnostics);
      if (word !== undefined) instance.interface = checkInterfaceName(word, diagnostics);
    },
    virtual_router_id: (statement: Statement) => {
      instance.vridGiven = true;
      instance.vrid = readWholeNumber(statement, { min: 1, max: 255 }, diagnostics);
    },
    v3_checksum_as_v2: (statement: Statement) => {
      instance.checksumAsV2 = readSwitch(statement, diagnostics) ?? instance.checksumAsV2;
    },
    native_ipv6: (statement: Statement) => {
      noArguments(statement, diagnostics);
      instance.nativeIpv6Span = statement.keyword.span;
    },
    version: (statement: Statement) => {
      instance.versionSpan = statement.keyword.span;
      const version = readWholeNumber(statement, { min: 2, max: 3 }, diagnostics);
      if (version !== undefined) instance.version = version === 3 ? 3 : 2;
    },
    priority: (statement: Statement) => {
      instance.priority = readWholeNumber(statement, { min: 1, max: ownerPriority }, diagnostics);
    },
    advert_int: (statement: Statement) => {
      instance.advertIntervalSpan = statement.arguments[0]?.span ?? statement.keyword.span;
      instance.advertIntervalMs = readSeconds(statement, { min: 0.01, max: 255 }, diagnostics);
    },
    virtual_ipaddress: (statement: Statement) => readAddresses(statement, instance, diagnostics),
    preempt: (statement: Statement) => {
      noArguments(statement, diagnostics);
      instance.preempt = true;
    },
    nopreempt: (statement: Statement) => {
      noArguments(statement, diagnostics);
      instance.preempt = false;
      instance.preemptSpan = statement.keyword.span;
    },
    preempt_delay: (statement: Statement) => {
      instance.preemptDelaySpan = statement.keyword.span;
      instance.preemptDelayMs = readSeconds(statement, preemptDelayRange, diagnostics) ?? 0;
    },
    // Packets to the virtual addresses are always accepted, which is keepalived's default.
    accept: (statement: Statement) => noArguments(statement, diagnostics),
    garp_master_delay: (statement: Statement) => {
      const seconds = readWholeNumber(statement, garpDelayRange, diagnostics);
      if (seconds !== undefined) announce({ delayMs: seconds * 1000 });
    },
    garp_master_refresh: (statement: Statement) => {
      const seconds = readWholeNumber(statement, garpRefreshRange, diagnostics);
      if (seconds !== undefined) announce({ refreshMs: seconds * 1000 });
    },
    garp_master_repeat: (statement: Statement) => {
      const repeat = readRepeat(statement, diagnostics);
      if (repeat !== undefined) announce({ repeat });
    },
    garp_master_refresh_repeat: (statement: Statement) => {
      const refreshRepeat = readRepeat(statement, diagnostics);
      if (refreshRepeat !== undefined) announce({ refreshRepeat });
    },
  };
}

function readState(statement: Statement, instance: InstanceStatement, diagnostics: DiagnosticCollector): void {
  const word = onlyArgument(statement, diagnostics);
  if (word === undefined) return;
  if (word.text === 'MASTER' || word.text === 'BACKUP') instance.state = word.text;
  else diagnostics.error(word.span, `state must be MASTER or BACKUP, not ${quote(word.text)}`);
}

function readAddresses(statement: Statement, instance: InstanceStatement, diagnostics: DiagnosticCollector): void {
  noArguments(statement, diagnostics);
  for (const entry of statement.block?.statements ?? []) {
    instance.addressesGiven = true;
    const address = readVirtualAddress(entry, diagnostics);
    if (address === undefined) continue;
    const earlier = instance.addresses.find((other) => other.address === address.address);
    if (earlier !== undefined) {
      diagnostics.warning(
        address.span,
        `${address.address} is given already at ${formatPlace(earlier.span)}: this one is ignored`,
      );
      continue;
    }
    const family = instanceFamily(instance) ?? familyOf(address.address);
    if (familyOf(address.address) !== family) {
      diagnostics.error(
        address.span,
        `${address.address} is not an ${familyName(family)} address as the first one is: make a second vrrp_instance for it`,
      );
    } else if (instance.addresses.length === addressesMax[family]) {
      diagnostics.error(
        address.span,
        `an advertisement holds at most ${addressesMax[family]} ${familyName(family)} addresses: make a second vrrp_instance`,
      );
    } else instance.addresses.push(address);
  }
}

/** The family of its first address, as in keepalived (vrrp_data.c, alloc_vrrp_vip). */
function instanceFamily({ addresses }: InstanceStatement): Family | undefined {
  return addresses[0] === undefined ? undefined : familyOf(addresses[0].address);
}

/** Fills in defaults, and corrects with a warning, as keepalived does (vrrp.c, vrrp_complete_instance). */
export function completeInstance(
  instance: InstanceStatement,
  globals: GlobalDefinitions,
  diagnostics: DiagnosticCollector,
): VirtualRouter | undefined {
  const { name, span } = instance;
  if (!instance.interfaceGiven) {
    diagnostics.error(span, `vrrp_instance ${name} has no interface: a default interface is not supported yet`);
  }
  if (!instance.vridGiven) {
    diagnostics.error(span, `vrrp_instance ${name} has no virtual_router_id: give it one from 1 to 255`);
  }
  if (!instance.addressesGiven) {
    diagnostics.error(span, `vrrp_instance ${name} has no virtual_ipaddress: give it at least one`);
  }
  const family = instanceFamily(instance) ?? (instance.nativeIpv6Span === undefined ? 'ipv4' : 'ipv6');
  const version = protocolVersion(instance, family, globals, diagnostics);
  const priority = instance.priority ?? (instance.state === 'MASTER' ? ownerPriority : defaultPriority);
  const startAs =
    (instance.state ?? (priority === ownerPriority ? 'MASTER' : 'BACKUP')) === 'MASTER' ? 'active' : 'backup';
  const advertIntervalMs = advertInterval(instance, version, diagnostics);
  const { preempt, preemptDelayMs } = preemption(instance, priority, startAs, diagnostics);
  const checksumAsV2 = instance.checksumAsV2 ?? globals.checksumAsV2;
  const unicast = completeUnicast(instance.unicast, name, family, diagnostics);
  const interfaceName = instance.interface;
  const { vrid } = instance;
  if (interfaceName === undefined || vrid === undefined) return undefined;
  return {
    name,
    interface: interfaceName,
    family,
    vrid,
    version,
    priority,
    advertIntervalMs,
    startAs,
    preempt,
    preemptDelayMs,
    addresses: instance.addresses.map(({ span: _, ...address }) => ({
      ...address,
      interface: address.interface ?? interfaceName,
    })),
    announcement: { ...globals.announcement, ...instance.announcement },
    ...unicast,
    ...(checksumAsV2 && version === 3 && family === 'ipv4' ? { checksumForm: 'message-only' } : {}),
  };
}

/** IPv6 needs version 3 (RFC 9568 section 1), so `vrrp_version` applies to IPv4 only. */
function protocolVersion(
  instance: InstanceStatement,
  family: Family,
  globals: GlobalDefinitions,
  diagnostics: DiagnosticCollector,
): 2 | 3 {
  if (family === 'ipv4') {
    if (instance.nativeIpv6Span !== undefined) {
      diagnostics.error(
        instance.nativeIpv6Span,
        `native_ipv6 does not go with the IPv4 addresses of vrrp_instance ${instance.name}`,
      );
    }
    return instance.version ?? globals.vrrpVersion;
  }
  if (instance.version === 2) diagnostics.error(instance.versionSpan, 'VRRP version 2 has no IPv6: write version 3');
  return 3;
}

/** In milliseconds: whole seconds up to 255 in version 2, centiseconds up to 40.95 s in version 3. */
function advertInterval(instance: InstanceStatement, version: 2 | 3, diagnostics: DiagnosticCollector): number {
  const given = instance.advertIntervalMs ?? defaultAdvertIntervalMs;
  const unitMs = version === 2 ? 1000 : 10;
  const unitsMax = version === 2 ? 255 : 4095;
  const units = Math.min(unitsMax, Math.max(1, Math.floor(given / unitMs + 0.5)));
  const result = units * unitMs;
  if (result === given) return result;
  const seconds = `${given / 1000}`;
  const used = `${result / 1000} s is used`;
  const span = instance.advertIntervalSpan;
  if (given > unitsMax * unitMs) {
    diagnostics.warning(
      span,
      `VRRP version ${version} has no advert_int above ${(unitsMax * unitMs) / 1000} s: ${used}`,
    );
  } else if (version === 2) {
    diagnostics.warning(
      span,
      `VRRP version 2 has whole seconds only, not ${seconds}: ${used}; for less than a second write version 3`,
    );
  } else {
    diagnostics.warning(span, `VRRP version 3 has hundredths of a second only, not ${seconds}: ${used}`);
  }
  return result;
}

function preemption(
  instance: InstanceStatement,
  priority: number,
  startAs: 'active' | 'backup',
  diagnostics: DiagnosticCollector,
): { preempt: boolean; preemptDelayMs: number } {
  let { preempt, preemptDelayMs } = instance;
  if (!preempt && priority === ownerPriority) {
    diagnostics.warning(instance.preemptSpan, `nopreempt has no effect with priority ${ownerPriority}: it is ignored`);
    preempt = true;
  }
  if (startAs === 'active') {
    if (!preempt) {
      diagnostics.warning(
        instance.preemptSpan,
        'nopreempt does not work with state MASTER and is ignored: write state BACKUP',
      );
      preempt = true;
    }
    if (preemptDelayMs > 0) {
      diagnostics.warning(
        instance.preemptDelaySpan,
        'preempt_delay does not work with state MASTER and is ignored: write state BACKUP',
      );
      preemptDelayMs = 0;
    }
  }
  if (!preempt && preemptDelayMs > 0) {
    diagnostics.warning(instance.preemptDelaySpan, 'preempt_delay has no effect with nopreempt: it is ignored');
    preemptDelayMs = 0;
  }
  return { preempt, preemptDelayMs };
}
