// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ForwardingMethod } from '../../../src/engine/xdp/layout/enums.ts';
import type { IpAddress } from '../../../src/lib/ip-address.ts';
import { isValidHead, methodOf, packHead } from '../../../src/model/connection-batch.ts';
import { forwardingMethods, methodByKeyword, methodByNumber } from '../../../src/model/forwarding-method.ts';
import { requireForwardable } from '../../../src/model/virtual-service.ts';

const methods = Object.values(forwardingMethods);
const head = { event: 1, protocol: 6, state: 1, family: 'ipv4', local: false } as const;

test('a method is found by its number and by its keyword, in a record too', () => {
  for (const [name, method] of Object.entries(forwardingMethods)) {
    assert.equal(method.name, name);
    assert.equal(methodByNumber(method.number), method);
    assert.equal(methodByKeyword(method.keyword), method);
    assert.equal(
      methodByNumber(methodOf(packHead({ ...head, forwardingMethod: method.number, template: true }))),
      method,
    );
  }
  assert.equal(methodByKeyword('LOCAL'), undefined);
  assert.equal(isValidHead(packHead({ ...head, forwardingMethod: 3 })), false, 'a number that no method has');
});

test('the XDP program has the same methods with the same numbers', () => {
  const camelCase = (name: string): string => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  assert.deepEqual(Object.fromEntries(methods.map(({ name, number }) => [camelCase(name), number])), ForwardingMethod);
});

test('replies pass only of methods that rewrite them: the engines count on it', () => {
  for (const { seesReplies, rewritesAddresses, rewritesPorts } of methods) {
    assert.ok(!seesReplies || (rewritesAddresses && rewritesPorts));
  }
});

test('a service with a real server that no engine can forward to is refused', () => {
  const service = (address: string, forwardingMethod: keyof typeof forwardingMethods) => ({
    ...({ address: '192.0.2.1' as IpAddress, port: 80, protocol: 'tcp' } as const),
    scheduler: { name: 'rr', hashPort: false, fallback: false } as const,
    realServers: [{ address: address as IpAddress, port: 80, weight: 1, forwardingMethod }],
  });
  requireForwardable(service('10.0.0.1', 'masquerade'));
  requireForwardable(service('10.0.0.1', 'direct-route'));
  assert.throws(() => requireForwardable(service('10.0.0.1', 'tunnel')), {
    message:
      'virtual service tcp 192.0.2.1:80: real server 10.0.0.1 has the forwarding method tunnel, which is not supported yet',
  });
  assert.throws(() => requireForwardable(service('2001:db8::1', 'direct-route')), {
    message:
      "virtual service tcp 192.0.2.1:80: real server 2001:db8::1 is of the other address family; use one of the service's own",
  });
});
