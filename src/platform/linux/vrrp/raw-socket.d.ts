// SPDX-License-Identifier: Apache-2.0

// The part of raw-socket 1.8 that is used; the package ships no types.
declare module 'raw-socket' {
  export interface RawSocket {
    send(buffer: Buffer, offset: number, length: number, address: string, done: (error: Error | null) => void): this;
    setOption(level: number, option: number, value: Buffer, length: number): void;
    on(event: 'message', listener: (packet: Buffer, source: string) => void): this;
    on(event: 'error', listener: (error: Error) => void): this;
    on(event: 'close', listener: () => void): this;
    close(): this;
  }
  const raw: {
    createSocket(options: { addressFamily: number; protocol: number; bufferSize?: number }): RawSocket;
    readonly AddressFamily: { readonly IPv4: number; readonly IPv6: number };
  };
  export default raw;
}
