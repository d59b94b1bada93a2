// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import ts from 'typescript';
import type { Clock } from '../../../src/lib/clock.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import type { VirtualRouter } from '../../../src/model/virtual-router.ts';
import type { SyncSession } from '../../../sync/session.ts';
import type { SessionOutput } from '../../../sync/surroundings.ts';
import type { RouterAction, RouterEvent } from '../../../vrrp/state.ts';
import { SimulatedTime } from '../../support/simulated-time.ts';
import { routerOf } from '../vrrp/routers.ts';

// The examples in the libraries' READMEs compile, and do what is said of them.

const root = repositoryRoot();
const own = '192.0.2.5' as IpAddress;

test('the example of vrrp/README.md compiles, and takes over under a lease', async () => {
  const { drive } =
    await exampleOf<
      (
        router: VirtualRouter,
        source: IpAddress,
        clock: Clock,
        execute: (action: RouterAction) => void,
      ) => (event: RouterEvent) => void
    >('vrrp');
  const clock = new SimulatedTime();
  const done: string[] = [];
  const feed = drive(routerOf(), own, clock, ({ kind }) => void done.push(kind));
  feed({ kind: 'startup' });
  clock.advanceTo(3609);
  assert.deepEqual(done.splice(0), ['notify']);
  clock.advanceTo(3630);
  assert.deepEqual(done.splice(0), ['sendAdvertisement', 'notify', 'sendAdvertisement', 'sendAdvertisement']);
  feed({ kind: 'advertisementSent', sentAtMs: 3610, priority: 100, intervalMs: 1000 });
  assert.deepEqual(done.splice(0), ['grantLease', 'acquireAddresses', 'announce', 'note']);
});

test('the example of sync/README.md compiles, and finds itself alone after 400 ms', async () => {
  const { drive } =
    await exampleOf<
      (
        senderId: number,
        epoch: number,
        fingerprint: string,
        clock: Clock,
        output: SessionOutput,
      ) => (doIt?: (session: SyncSession, nowMs: number) => void) => void
    >('sync');
  const clock = new SimulatedTime();
  const gates: string[] = [];
  let sent = 0;
  const output: SessionOutput = {
    send: () => {
      sent += 1;
    },
    apply: () => true,
    exportPage: () => {},
    gateChanged: (gate) => void gates.push(`${gate} at ${clock.nowMs()}`),
    peerLost: () => {},
    fingerprintCompared: () => {},
  };
  const call = drive(1, 1, '00000000000000aa', clock, output);
  call();
  clock.advanceTo(450);
  assert.deepEqual(gates, ['alone at 400']);
  assert.ok(sent >= 5, 'a heartbeat goes out every 100 ms');
});

/** The first block of TypeScript in a folder's README, type-checked as a file of that folder and then loaded. */
async function exampleOf<Drive>(folder: string): Promise<{ drive: Drive }> {
  const example = /^```ts\n([\s\S]*?)^```/m.exec(readFileSync(join(root, folder, 'README.md'), 'utf8'))?.[1];
  assert.ok(example !== undefined, `${folder}/README.md has an example`);
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { incremental: _, tsBuildInfoFile: __, ...settings } = config.compilerOptions;
  const { options } = ts.convertCompilerOptionsFromJson({ ...settings, noEmit: true }, root);
  const file = join(root, folder, 'readme-example.ts');
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (name) => (name === file ? example : readFile(name));
  host.fileExists = (name) => name === file || fileExists(name);
  const program = ts.createProgram([file], options, host);
  const complaints = ts.getPreEmitDiagnostics(program).map(({ messageText }) => messageText);
  assert.deepEqual(complaints, []);
  const { outputText } = ts.transpileModule(example, {
    compilerOptions: { ...options, noEmit: false, module: ts.ModuleKind.ESNext },
  });
  const built = pathToFileURL(`${join(root, 'dist', folder)}/`);
  const absolute = outputText.replaceAll(/from "(\.[^"]+)"/g, (_all, path: string) => `from '${new URL(path, built)}'`);
  return import(`data:text/javascript,${encodeURIComponent(absolute)}`);
}

function repositoryRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
}
