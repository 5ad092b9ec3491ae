// Customers check out at a steady rate, whether or not the shop keeps up (open model).
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    checkout: {
      executor: 'constant-arrival-rate',
      rate: Math.round(Number(__ENV.SQUALL_ARRIVAL) * 60),
      timeUnit: '1m',
      duration: __ENV.SQUALL_DURATION,
      // One VU per checkout under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_ARRIVAL) * 7),
      gracefulStop: '1s',
    },
  },
  discardResponseBodies: false,
};

const skus = ['tea', 'coffee', 'cocoa', 'mate', 'rooibos'];

export default function () {
  const op = operation('checkout');
  const order = { items: [{ sku: skus[__ITER % skus.length], qty: 1 }], customer: `customer-${__VU}` };
  const res = http.post(`${__ENV.GATEWAY_URL}/checkout`, JSON.stringify(order), {
    headers: { 'Content-Type': 'application/json', ...op.headers() },
    tags: { name: 'checkout' },
    timeout: '6s',
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
