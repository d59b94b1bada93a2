// SPDX-License-Identifier: Apache-2.0
import { test } from 'node:test';
import { assertHolds } from './drill-run.ts';

// A real server dies while its clients ask.

test('the clients of a dead real server reach a living one', async () => {
  await assertHolds(['server-death'], '--forwarding', 'masquerade');
});
