// SPDX-License-Identifier: Apache-2.0
import type { BpfDescriptor, BpfObject } from '../../../engine/xdp/bpf-object.ts';
import { KernelMap } from './map.ts';
import { KernelProgram } from './program.ts';
import { describeMap, describeProgram } from './system-call.ts';

/** The kernel keeps this many characters of a name. */
const kernelNameLength = 15;

/**
 * A loaded object by descriptors that this process has opened or was given, and owns from then on. Throws one sentence
 * when a descriptor is not the map or program that its name promises.
 */
export function openBpfObject(descriptors: readonly BpfDescriptor[]): BpfObject {
  for (const descriptor of descriptors) verify(descriptor);
  const maps = descriptors.filter(({ kind }) => kind === 'map').map(({ fd, name }) => new KernelMap(fd, name));
  const programs = descriptors
    .filter(({ kind }) => kind === 'program')
    .map(({ fd, name }) => new KernelProgram(fd, name));
  return {
    maps: new Map(maps.map((map) => [map.name, map])),
    programs: new Map(programs.map((program) => [program.name, program])),
    descriptors: () => descriptors,
    close: () => {
      for (const owner of [...maps, ...programs]) owner.close();
    },
  };
}

/** Descriptors travel beside their names, so a mistake on the way would write one map's values into another. */
function verify({ kind, name, fd }: BpfDescriptor): void {
  const known = kind === 'map' ? describeMap(fd)?.name : describeProgram(fd)?.name;
  if (known === undefined) throw new Error(`descriptor ${fd} is not the BPF ${kind} ${name}`);
  // libbpf puts the object's name before those of sections: `baton_bp.rodata`.
  const matches = name.startsWith('.')
    ? known.includes('.') && name.startsWith(known.slice(known.indexOf('.')))
    : known === name.slice(0, kernelNameLength);
  if (!matches) throw new Error(`descriptor ${fd} is the BPF ${kind} ${known}, not ${name}`);
}
