// Customers check out at a steady rate, whether or not the shop keeps up (open model).
// PATIENCE_MS (6000) is how long each waits; one that is less patient says so.
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    checkout: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      // One VU per checkout under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 7),
      gracefulStop: '1s',
    },
  },
  discardResponseBodies: false,
};

const patience = Number(__ENV.PATIENCE_MS || 6000);
const told = __ENV.PATIENCE_MS ? { 'X-Deadline-Ms': __ENV.PATIENCE_MS } : {};
const skus = ['tea', 'coffee', 'cocoa', 'mate', 'rooibos'];

export default function () {
  const op = operation('checkout');
  const order = { items: [{ sku: skus[__ITER % skus.length], qty: 1 }], customer: `customer-${__VU}` };
  const res = http.post(`${__ENV.GATEWAY_URL}/checkout`, JSON.stringify(order), {
    headers: { 'Content-Type': 'application/json', ...told, ...op.headers() },
    tags: { name: 'checkout' },
    timeout: patience,
  });

  // What the customer may conclude. A lost or vague reply is unknown, never failed:
  // the books decide what really happened.
  if (res.status === 201) op.ok();
  else if (refused(res)) op.failed(`${res.status}`);
  else op.unknown(res.error || `${res.status}`);
}

// refused: the shop says for certain that nothing was, or stays, done.
function refused(res) {
  if ([400, 402, 409, 422].includes(res.status)) return true;
  if (res.status !== 503 || !res.body) return false;
  try {
    const body = res.json();
    return body.status === 'cancelled' || body.executed === false;
  } catch {
    return false;
  }
}
