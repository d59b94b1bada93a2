// SPDX-License-Identifier: Apache-2.0
import type { Family } from './ground.ts';
import type { RateOptions } from './rates.ts';
import { batonConfiguration, cases } from './services.ts';
import type { Stage, Traffic } from './stage.ts';

const connections = 1_000_000;
/** The default: what memory is stated for. */
const limits = { halfOpenMax: 65_536, establishedMax: 1_048_576 };

/** A table of the default size, full of established TCP connections. */
export async function measureTable(stage: Stage, options: RateOptions): Promise<void> {
  const path = options.objectPath === undefined ? {} : { objectPath: options.objectPath };
  await stage.order({ do: 'load', limits, ...path });
  await stage.order({ do: 'configure', configuration: batonConfiguration() });
  await stage.order({ do: 'attach', program: 'baton' });
  const { mapBytes } = await stage.order({ do: 'status' });
  const total = Object.values(mapBytes).reduce((sum, bytes) => sum + bytes, 0);
  for (const [family, table, other] of [
    ['ipv4', 'table4', 'table6'],
    ['ipv6', 'table6', 'table4'],
  ] as const) {
    const each = mapBytes[table]! / limits.establishedMax;
    const all = (total - mapBytes[other]!) / limits.establishedMax;
    say(
      `${family} memory of an established connection: ${each.toFixed(1)} bytes of table, ${all.toFixed(1)} of all maps but ${other}`,
    );
  }
  say(
    `all maps: ${mib(total)} MiB; ${Object.entries(mapBytes)
      .filter(([, bytes]) => bytes > 1 << 20)
      .map(([name, bytes]) => `${name} ${mib(bytes)}`)
      .join(', ')}`,
  );
  for (const family of ['ipv4', 'ipv6'] as const) await measureFamily(stage, family);
}

async function measureFamily(stage: Stage, family: Family): Promise<void> {
  const traffic = { family, protocol: 'tcp', port: cases.masqueradeTwo.port, flows: connections } as const;
  await stage.order({ do: 'clear' });
  const fill: Traffic = {
    ...traffic,
    flags: 'handshake',
    order: 'sequence',
    packetsPerFlow: 2,
    packets: 2 * connections,
  };
  const filled = await stage.send(fill);
  // Opens the connections that a full receive ring has lost.
  for (let from = 0; from < connections; from += 100_000) {
    await stage.send({ ...fill, packets: 200_000, firstFlow: from, flags: 'handshake' });
  }
  const status = await stage.order({ do: 'status' });
  say(
    `${family} ${status.established} established connections, opened at ${(connections / filled.elapsedMs).toFixed(0)} k/s`,
  );
  const running: Traffic = { ...traffic, flags: 'ack', order: 'random', packetsPerFlow: 1, packets: 1_000_000 };
  for (let round = 0; round < 3; round += 1) {
    const { sent, arrived, elapsedMs } = await stage.send(running);
    say(
      `${family} masquerade, TCP acknowledgements at random: ${(arrived / elapsedMs).toFixed(0)} k packets/s, ${sent - arrived} of ${sent} lost`,
    );
  }
  const sweep = await stage.order({ do: 'sweep' });
  say(
    `${family} sweep of all ${sweep.records} slots: ${sweep.elapsedMs.toFixed(0)} ms, longest run ${sweep.callMsMax.toFixed(2)} ms`,
  );
  const exported = await stage.order({ do: 'export' });
  say(
    `${family} export of ${exported.records} records: ${exported.elapsedMs.toFixed(0)} ms, longest page ${exported.callMsMax.toFixed(1)} ms`,
  );
  const again = await stage.order({ do: 'export' });
  say(`${family} export again: ${again.elapsedMs.toFixed(0)} ms`);
  await stage.order({ do: 'clear' });
  await stage.send({ ...fill, packets: 2 });
  const imported = await stage.order({ do: 'import', records: connections });
  say(
    `${family} import of ${imported.records} records: ${imported.elapsedMs.toFixed(0)} ms, longest batch ${imported.callMsMax.toFixed(1)} ms ${JSON.stringify(imported.outcome)}`,
  );
  const { residentBytes, established } = await stage.order({ do: 'status' });
  say(`${family} ${established} entries; resident memory of the measuring process ${mib(residentBytes)} MiB`);
}

function say(sentence: string): void {
  process.stdout.write(`${sentence}\n`);
}

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
