// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { formatDiagnostic } from '../config/language/diagnostic.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { loadFromDisk } from '../config/load-from-disk.ts';
import { controlSocketPath, defaultRunDirectory } from '../control/client.ts';
import { serveControl } from '../control/server.ts';
import type { Director } from '../director/director.ts';
import { type EngineRequest, engineRequests } from '../engine/engine.ts';
import { ExitCode, parseOptions, UsageError } from '../lib/command-line.ts';
import { errorSentence } from '../lib/error-sentence.ts';
import type { Log } from '../lib/log.ts';
import type { Configuration } from '../model/configuration.ts';
import { close } from '../platform/linux/libc.ts';
import { claimRunDirectory } from '../platform/linux/process/run-directory.ts';
import { findPredecessor } from '../succession/predecessor.ts';
import { composeDirector } from './compose-director.ts';
import { openOutput } from './output.ts';

const version = (createRequire(import.meta.url)('../../../package.json') as { version: string }).version;

/** `baton run`: a director in the foreground. Returns when it was stopped. */
export async function runCommand(args: readonly string[], script: string): Promise<ExitCode> {
  const options = parseOptions('run', args, {
    file: { type: 'string', short: 'f' },
    'run-dir': { type: 'string', default: defaultRunDirectory },
    engine: { type: 'string', default: 'auto' },
    cleanup: { type: 'boolean', default: false },
    'config-id': { type: 'string' },
  });
  if (options.cleanup) return cleanUp(options['run-dir']);
  const file = options.file;
  if (file === undefined) throw new UsageError('baton run: name the configuration with -f FILE');
  const engine = parseEngine(options.engine);
  const read = (): LoadedConfiguration => loadFromDisk(file, options['config-id']);
  const loaded = read();
  if (loaded.configuration === undefined) return refuse(loaded);
  const output = openOutput();
  for (const diagnostic of loaded.diagnostics) output.complain(formatDiagnostic(diagnostic));
  try {
    const { configuration } = loaded;
    const runDirectory = options['run-dir'];
    return await direct({ script, file, engine, configuration, runDirectory, read, log: output.log });
  } catch (error) {
    output.complain(`baton run: ${errorSentence(error)}`);
    return ExitCode.failed;
  } finally {
    await output.close();
  }
}

/** Nothing runs yet, so the sentences may wait for a reader of theirs. */
function refuse({ diagnostics, unreadable }: LoadedConfiguration): ExitCode {
  for (const diagnostic of diagnostics) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
  if (unreadable !== undefined) throw new UsageError(`baton run: ${unreadable}`);
  process.stderr.write('baton run: nothing was started, because the configuration has errors\n');
  return ExitCode.failed;
}

interface Direction {
  readonly script: string;
  readonly file: string;
  readonly engine: EngineRequest;
  readonly configuration: Configuration;
  readonly runDirectory: string;
  /** Reads the file again. */
  readonly read: () => LoadedConfiguration;
  readonly log: Log;
}

/** Holds the run-dir and runs a director in it, until a signal or the end of something that it needs. */
async function direct(direction: Direction): Promise<ExitCode> {
  const { script, file, engine, configuration, runDirectory, read, log } = direction;
  const signals = listenToSignals();
  const claim = claimRunDirectory(runDirectory);
  try {
    const predecessor = await findPredecessor(runDirectory, log);
    const { director, failed } = await composeDirector({
      script,
      log,
      version,
      configurationFile: file,
      configuration,
      engine,
      runDirectory,
      predecessor,
    });
    const socketPath = controlSocketPath(runDirectory);
    let control: Server | undefined;
    try {
      await director.apply(configuration);
      control = await serveControl(socketPath, director);
      signals.onReload(() => void reload(director, read, log));
      log('info', 'running', { version, configurationFile: file, runDirectory });
      const ended = await Promise.race([signals.stopRequested, failed]);
      log(ended instanceof Error ? 'error' : 'info', ended instanceof Error ? ended.message : `stopping on ${ended}`);
      return ended instanceof Error ? ExitCode.failed : ExitCode.done;
    } finally {
      control?.close();
      await director.stop().catch((error: Error) => log('error', `not everything stopped in order: ${error.message}`));
      // A client that still reads a long table is cut off: nothing may keep the process when the director has stopped.
      control?.closeAllConnections();
      rmSync(socketPath, { force: true });
    }
  } finally {
    claim.release();
  }
}

const notReloaded = 'the configuration was not reloaded and the running one stays';
const emptyReason =
  'it has neither a vrrp_instance nor a virtual_server, so every address would be given up; write one, or stop the ' +
  'director to give them up';

/** A file caught while it is being written, or an include that matches nothing, looks like this; nobody means it. */
function isEmpty({ virtualRouters, services }: Configuration): boolean {
  return virtualRouters.length === 0 && services.length === 0;
}

/** A bad file changes nothing: the problems are logged and the running configuration stays. */
async function reload(director: Director, read: () => LoadedConfiguration, log: Log): Promise<void> {
  try {
    const loaded = read();
    for (const diagnostic of loaded.diagnostics) {
      log(diagnostic.severity === 'error' ? 'error' : 'warn', formatDiagnostic(diagnostic));
    }
    if (loaded.configuration === undefined) {
      const reason = loaded.unreadable ?? 'it has errors';
      return log('error', `${notReloaded}: ${reason}`);
    }
    if (isEmpty(loaded.configuration)) return log('error', `${notReloaded}: ${emptyReason}`);
    await director.apply(loaded.configuration);
    log('info', 'reloaded the configuration');
  } catch (error) {
    log('error', `${notReloaded}: ${errorSentence(error)}`);
  }
}

function parseEngine(engine: string): EngineRequest {
  const known = engineRequests.find((request) => request === engine);
  if (known !== undefined) return known;
  throw new UsageError(`baton run: there is no engine ${engine}; there are ${engineRequests.join(', ')}`);
}

/**
 * `baton run --cleanup`: ends what a director that died has left. All of it is held by its vrrp process, which resigns and
 * lets go; the kernel removes the rest.
 */
async function cleanUp(path: string): Promise<ExitCode> {
  const runDirectory = claimRunDirectory(path);
  const output = openOutput();
  try {
    const predecessor = await findPredecessor(path, output.log);
    for (const { fd } of predecessor?.descriptors ?? []) close(fd);
    await predecessor?.dismiss();
    rmSync(controlSocketPath(path), { force: true });
    return ExitCode.done;
  } finally {
    await output.close();
    runDirectory.release();
  }
}

interface Signals {
  readonly stopRequested: Promise<NodeJS.Signals>;
  /** Names what SIGHUP does; one that came before is made up for. */
  readonly onReload: (reload: () => void) => void;
}

/** From the first moment on: what a signal does by itself would end the process with everything left as it is. */
function listenToSignals(): Signals {
  let reloadNow: (() => void) | undefined;
  let missed = false;
  process.on('SIGHUP', () => {
    missed = reloadNow === undefined;
    reloadNow?.();
  });
  const stopRequested = new Promise<NodeJS.Signals>((resolve) => {
    process.on('SIGTERM', resolve);
    process.on('SIGINT', resolve);
  });
  const onReload = (reload: () => void): void => {
    reloadNow = reload;
    if (missed) reload();
  };
  return { stopRequested, onReload };
}
