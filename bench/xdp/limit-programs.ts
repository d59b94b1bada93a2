// SPDX-License-Identifier: Apache-2.0
import {
  addImmediate,
  call,
  exit,
  Helper,
  type Instruction,
  jumpIfGreater,
  load16,
  load32,
  loadMap,
  move,
  moveImmediate,
  store16,
  store32,
  storeImmediate32,
  xdpDrop,
  xdpPass,
  xdpTransmit,
} from '../bpf.ts';

/** The least that a program can do to forward: exchanges the MAC addresses and sends the frame back. */
export function bounceProgram(): Instruction[] {
  const [data, end, limit] = [2, 3, 4];
  return [
    load32(data, 1, 0),
    load32(end, 1, 4),
    move(limit, data),
    addImmediate(limit, 14),
    jumpIfGreater(limit, end, 10),
    load32(0, data, 0),
    load16(1, data, 4),
    load32(4, data, 6),
    load16(5, data, 10),
    store32(data, 0, 4),
    store16(data, 4, 5),
    store32(data, 6, 0),
    store16(data, 10, 1),
    moveImmediate(0, xdpTransmit),
    exit(),
    moveImmediate(0, xdpPass),
    exit(),
  ];
}

/** The same towards another interface: writes MAC addresses and redirects by a device map. */
export function redirectProgram(deviceMapFd: number, interfaceIndex: number): Instruction[] {
  const [data, end, limit] = [2, 3, 4];
  return [
    load32(data, 1, 0),
    load32(end, 1, 4),
    move(limit, data),
    addImmediate(limit, 14),
    jumpIfGreater(limit, end, 9),
    storeImmediate32(data, 0, 0x0002),
    storeImmediate32(data, 4, 0x0002_1502),
    storeImmediate32(data, 8, 0x0102_0000),
    ...loadMap(1, deviceMapFd),
    moveImmediate(2, interfaceIndex),
    moveImmediate(3, xdpDrop),
    call(Helper.redirectMap),
    exit(),
    moveImmediate(0, xdpPass),
    exit(),
  ];
}

/** Does nothing: it shows the cost of measuring a program. */
export function passProgram(): Instruction[] {
  return [moveImmediate(0, xdpPass), exit()];
}
