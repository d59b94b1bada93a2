// SPDX-License-Identifier: Apache-2.0

import { hashWords } from '../lib/hash.ts';
import { familyOf } from '../lib/ip-address.ts';
import { createPrng } from '../lib/prng.ts';
import type { Configuration, SyncSettings } from '../model/configuration.ts';
import { routerKey, type VirtualRouter } from '../model/virtual-router.ts';
import { virtualServiceName } from '../model/virtual-service.ts';
import {
  type GlobalDefinitions,
  initialGlobalDefinitions,
  readGlobalDefinitions,
  syncMaxLengths,
} from './global-definitions.ts';
import { readStatements } from './language/block-reader.ts';
import { type Diagnostic, DiagnosticCollector, formatPlace, type Span } from './language/diagnostic.ts';
import type { ConfigurationFiles } from './language/files.ts';
import { isScriptKeyword } from './language/keyword-table.ts';
import { parseStatements, type Statement } from './language/parser.ts';
import { preprocess } from './language/preprocessor.ts';
import { initialOwnSettings, type OwnSettings, readOwnSettings } from './own-settings.ts';
import { type PlacedService, readVirtualServer } from './virtual-server.ts';
import { completeInstance, type InstanceStatement, readInstance } from './vrrp-instance.ts';

export interface LoadOptions {
  /** `filesOnDisk`, or a test's memory. */
  readonly files: ConfigurationFiles;
  /** The host name of this director: the default router_id; its first label is the default config id. */
  readonly hostname: string;
  /** `--config-id`: which `@id` lines count. */
  readonly configId?: string | undefined;
  /** For `${_ENV NAME}`. */
  readonly environment?: (name: string) => string | undefined;
}

export interface LoadedConfiguration {
  /** `undefined` when there is any error. */
  readonly configuration: Configuration | undefined;
  /** Sorted by file, line and column. */
  readonly diagnostics: readonly Diagnostic[];
  /** Why the file itself cannot be read: one sentence. Then there are no diagnostics. */
  readonly unreadable: string | undefined;
}

const noSyncToWaitFor =
  'preempt_without_sync says nothing without lvs_sync_daemon: a director without synchronisation preempts as in keepalived';
const noPeerToWaitFor = 'defer says nothing without lvs_sync_daemon: there is no peer to wait for';
/** keepalived starts with such a file too; what a reload makes of it is the director's to say. */
const nothingToRun =
  'no statement is in force in this file, so no virtual router and no virtual service runs: write a vrrp_instance or a virtual_server';

/**
 * Reads a keepalived.conf with all that it includes. Never throws because of the files' content and never stops at the
 * first problem: every problem comes with its place.
 */
export function loadConfiguration(path: string, options: LoadOptions): LoadedConfiguration {
  const diagnostics = new DiagnosticCollector();
  const preprocessed = preprocess(path, {
    files: options.files,
    configId: options.configId ?? options.hostname.split('.')[0] ?? '',
    environment: options.environment ?? (() => undefined),
    random: randomOf(options.hostname),
    diagnostics,
  });
  if (preprocessed.unreadable !== undefined) {
    return { configuration: undefined, diagnostics: [], unreadable: preprocessed.unreadable };
  }
  const statements = parseStatements(preprocessed.lines, isScriptKeyword, diagnostics);
  const start = { file: path, line: 1, column: 1 };
  if (statements.length === 0 && !diagnostics.hasErrors) diagnostics.warning(start, nothingToRun);
  const configuration = readConfiguration(statements, start, options.hostname, diagnostics);
  return {
    configuration: diagnostics.hasErrors ? undefined : configuration,
    diagnostics: diagnostics.sorted(preprocessed.files),
    unreadable: undefined,
  };
}

/** Numbers for `${_RANDOM}`: they differ between hosts, but a reload must not change anything by drawing others. */
function randomOf(hostname: string): () => number {
  return createPrng(hashWords(new TextEncoder().encode(hostname))).fraction;
}

function readConfiguration(
  statements: readonly Statement[],
  start: Span,
  hostname: string,
  diagnostics: DiagnosticCollector,
): Configuration {
  const globals = initialGlobalDefinitions();
  const own = initialOwnSettings();
  const instances: InstanceStatement[] = [];
  const services: PlacedService[] = [];
  let globalsSpan: Span | undefined;
  readStatements(
    statements,
    'root',
    {
      global_defs: (statement) => {
        globalsSpan ??= statement.keyword.span;
        readGlobalDefinitions(statement, globals, diagnostics);
      },
      baton: (statement) => readOwnSettings(statement, own, diagnostics),
      vrrp_instance: (statement) => {
        const instance = readInstance(statement, diagnostics);
        if (instance !== undefined) instances.push(instance);
      },
      virtual_server: (statement) => {
        const service = readVirtualServer(statement, diagnostics);
        if (service !== undefined) services.push(service);
      },
    },
    diagnostics,
  );
  const { maxAdoptedIntervalMs } = own;
  const virtualRouters = completeInstances(instances, globals, diagnostics).map((router) =>
    maxAdoptedIntervalMs === undefined || router.version === 2 ? router : { ...router, maxAdoptedIntervalMs },
  );
  checkServices(services, diagnostics);
  const sync = completeSync(globals, own, { instances, routers: virtualRouters }, diagnostics);
  if (globals.sync === undefined && services.length > 0 && instances.length > 0) {
    const [first] = instances;
    const line = `lvs_sync_daemon ${first?.interface ?? 'INTERFACE'} ${first?.name ?? ''}`.trimEnd();
    diagnostics.warning(
      globalsSpan ?? start,
      `connections are not replicated, so that sessions break at a failover: add \`${line}\` to global_defs`,
    );
  }
  return {
    routerId: globals.routerId ?? hostname,
    virtualRouters,
    services: services.map(({ service }) => service),
    sync,
    timeouts: globals.timeouts,
    ...(own.trackRoutes ? {} : { trackRoutes: false }),
    ...(globals.deadServerPolicy === undefined ? {} : { deadServerPolicy: globals.deadServerPolicy }),
    ...(own.sloppyTcp === undefined ? {} : { sloppyTcp: own.sloppyTcp }),
  };
}

function completeInstances(
  instances: readonly InstanceStatement[],
  globals: GlobalDefinitions,
  diagnostics: DiagnosticCollector,
): VirtualRouter[] {
  const names = new Map<string, InstanceStatement>();
  const vrids = new Map<string, InstanceStatement>();
  const addresses = new Map<string, InstanceStatement>();
  const routers: VirtualRouter[] = [];
  for (const instance of instances) {
    const { name, span } = instance;
    const namesake = names.get(name);
    if (namesake !== undefined) {
      diagnostics.error(
        span,
        `vrrp_instance ${name} is defined already at ${formatPlace(namesake.span)}: give this one another name`,
      );
    }
    names.set(name, namesake ?? instance);
    const router = completeInstance(instance, globals, diagnostics);
    if (router === undefined) continue;
    routers.push(router);
    const key = routerKey(router);
    const rival = vrids.get(key);
    if (rival !== undefined) {
      const place = `vrrp_instance ${rival.name} at ${formatPlace(rival.span)}`;
      diagnostics.error(
        span,
        `virtual_router_id ${router.vrid} on ${router.interface} belongs to ${place} already: choose another`,
      );
    }
    vrids.set(key, rival ?? instance);
    for (const entry of instance.addresses) {
      const holder = addresses.get(entry.address);
      if (holder !== undefined && holder !== instance) {
        diagnostics.warning(
          entry.span,
          `${entry.address} is a virtual address of vrrp_instance ${holder.name} too: two directors could hold it at once`,
        );
      }
      addresses.set(entry.address, holder ?? instance);
    }
  }
  return routers;
}

function checkServices(services: readonly PlacedService[], diagnostics: DiagnosticCollector): void {
  const places = new Map<string, Span>();
  for (const { service, span } of services) {
    const name = virtualServiceName(service);
    const earlier = places.get(name);
    if (earlier !== undefined) {
      diagnostics.error(
        span,
        `the virtual_server ${name} is defined already at ${formatPlace(earlier)}: put its real servers there`,
      );
    }
    places.set(name, earlier ?? span);
  }
}

function completeSync(
  globals: GlobalDefinitions,
  { preemptWithoutSync, defer }: OwnSettings,
  {
    instances,
    routers,
  }: { readonly instances: readonly InstanceStatement[]; readonly routers: readonly VirtualRouter[] },
  diagnostics: DiagnosticCollector,
): SyncSettings | undefined {
  if (globals.sync === undefined) {
    if (preemptWithoutSync !== undefined) diagnostics.warning(preemptWithoutSync.span, noSyncToWaitFor);
    if (defer !== undefined) diagnostics.warning(defer, noPeerToWaitFor);
    return undefined;
  }
  const { span: _, instance: named, syncId, maxLength, groupGiven, ...settings } = globals.sync;
  const instance = instances.find(({ name }) => name === named?.text);
  if (named !== undefined && instance === undefined) {
    diagnostics.error(
      named.span,
      `lvs_sync_daemon names vrrp_instance ${JSON.stringify(named.text)}, which does not exist`,
    );
  }
  const router = routers.find(({ name }) => name === named?.text);
  const unicast = groupGiven ? {} : unicastOf(router, settings.interface);
  const family = familyOf(unicast.unicastPeers?.[0] ?? settings.group);
  return {
    ...settings,
    ...unicast,
    maxLength: maxLength ?? syncMaxLengths[family],
    instance: named?.text,
    syncId: syncId ?? instance?.vrid ?? 0,
    ...(preemptWithoutSync === undefined ? {} : { preemptWithoutSyncMs: preemptWithoutSync.ms }),
    ...(defer === undefined ? {} : { defer: true }),
  };
}

/** Sync over the interface of a unicast instance goes to the same peers: multicast does not work there. */
function unicastOf(
  router: VirtualRouter | undefined,
  interfaceName: string,
): Pick<SyncSettings, 'unicastPeers' | 'unicastSource'> {
  if (router?.unicastPeers === undefined || router.interface !== interfaceName) return {};
  const { sourceAddress } = router;
  return {
    unicastPeers: router.unicastPeers.map(({ address }) => address),
    ...(sourceAddress === undefined ? {} : { unicastSource: sourceAddress }),
  };
}
