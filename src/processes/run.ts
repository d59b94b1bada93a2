// SPDX-License-Identifier: Apache-2.0
import { rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import { pino } from 'pino';
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
import { close } from '../platform/linux/libc.ts';
import { claimRunDirectory } from '../platform/linux/process/run-directory.ts';
import { findPredecessor } from '../succession/predecessor.ts';
import { composeDirector } from './director-process.ts';

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
  for (const diagnostic of loaded.diagnostics) process.stderr.write(`${formatDiagnostic(diagnostic)}\n`);
  if (loaded.unreadable !== undefined) throw new UsageError(`baton run: ${loaded.unreadable}`);
  if (loaded.configuration === undefined) {
    process.stderr.write('baton run: nothing was started, because the configuration has errors\n');
    return ExitCode.failed;
  }

  const log = openLog();
  const signals = listenToSignals();
  const runDirectory = claimRunDirectory(options['run-dir']);
  try {
    const predecessor = await findPredecessor(options['run-dir'], log);
    const { director, failed } = await composeDirector({
      script,
      log,
      version,
      configurationFile: file,
      configuration: loaded.configuration,
      engine,
      runDirectory: options['run-dir'],
      predecessor,
    });
    const socketPath = controlSocketPath(options['run-dir']);
    let control: Server | undefined;
    try {
      await director.apply(loaded.configuration);
      control = await serveControl(socketPath, director);
      signals.onReload(() => void reload(director, read, log));
      log('info', 'running', { version, configurationFile: file, runDirectory: options['run-dir'] });
      const ended = await Promise.race([signals.stopRequested, failed]);
      log(ended instanceof Error ? 'error' : 'info', ended instanceof Error ? ended.message : `stopping on ${ended}`);
      return ended instanceof Error ? ExitCode.failed : ExitCode.done;
    } finally {
      control?.close();
      await director.stop().catch((error: Error) => log('error', `not everything stopped in order: ${error.message}`));
      // Whoever still reads a long table is cut off: nothing keeps the process when the director has stopped.
      control?.closeAllConnections();
      rmSync(socketPath, { force: true });
    }
  } finally {
    runDirectory.release();
  }
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
      return log('error', `the configuration was not reloaded and the running one stays: ${reason}`);
    }
    await director.apply(loaded.configuration);
    log('info', 'reloaded the configuration');
  } catch (error) {
    log('error', `the configuration was not reloaded and the running one stays: ${errorSentence(error)}`);
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
  try {
    const predecessor = await findPredecessor(path, openLog());
    for (const { fd } of predecessor?.descriptors ?? []) close(fd);
    await predecessor?.dismiss();
    rmSync(controlSocketPath(path), { force: true });
    return ExitCode.done;
  } finally {
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

/** JSON lines on stdout. A full disk or a reader that has gone loses lines, and nothing else. */
function openLog(): Log {
  const destination = pino.destination(1);
  destination.on('error', () => undefined);
  const logger = pino({ base: { pid: process.pid } }, destination);
  return (level, message, fields = {}) => logger[level](fields, message);
}
