// Customers buy three things at once, and look at what they are charged: an order
// that is confirmed with a wrong sum is none. Every 25th wants rooibos.
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    checkout: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 7),
      gracefulStop: '1s',
    },
  },
};

export function setup() {
  const prices = {};
  http.get(`${__ENV.GATEWAY_URL}/products`).json('products').forEach((p) => { prices[p.sku] = p.price_cents; });
  return prices;
}

export default function (prices) {
  const last = exec.scenario.iterationInTest % 25 === 0 ? 'rooibos' : 'mate';
  const basket = ['tea', 'coffee', last].map((sku) => ({ sku, qty: 1 }));
  const op = operation('checkout');
  const res = http.post(`${__ENV.GATEWAY_URL}/checkout`, JSON.stringify({ items: basket, customer: `customer-${__VU}` }), {
    headers: { 'Content-Type': 'application/json', ...op.headers() },
    tags: { name: 'checkout' },
    timeout: '6s',
  });
  const due = basket.reduce((sum, item) => sum + prices[item.sku], 0);
  if (res.status === 201 && res.json('amount_cents') === due) op.ok();
  else if (res.status === 201) op.failed(`charged ${res.json('amount_cents')}, not ${due}`);
  else if (res.status === 503) op.failed('503');
  else op.unknown(res.error || `${res.status}`);
}
