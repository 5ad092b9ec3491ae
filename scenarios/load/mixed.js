// Half of the customers check out, half look at a product: two routes of the shop
// that have nothing to do with each other (open model).
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    customers: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      // One VU per customer under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 5),
      gracefulStop: '1s',
    },
  },
};

const skus = ['tea', 'coffee', 'cocoa', 'mate', 'rooibos'];
const shop = __ENV.GATEWAY_URL;

export default function () {
  const n = exec.scenario.iterationInTest;
  const sku = skus[(n >> 1) % skus.length];
  if (n % 2 === 0) look(sku);
  else buy(sku);
}

function look(sku) {
  const op = operation('page');
  const res = http.get(`${shop}/products/${sku}`, { headers: op.headers(), tags: { name: 'page' }, timeout: '6s' });
  if (res.status === 200 && !res.json('stale')) op.ok();
  else if (res.status === 200) op.failed('an old page');
  else op.failed(res.error || `${res.status}`); // reading changes nothing: an error is a failure
}

function buy(sku) {
  const op = operation('checkout');
  const order = { items: [{ sku, qty: 1 }], customer: `customer-${__VU}` };
  const res = http.post(`${shop}/checkout`, JSON.stringify(order), {
    headers: { 'Content-Type': 'application/json', ...op.headers() }, tags: { name: 'checkout' }, timeout: '6s',
  });
  if (res.status === 201) op.ok();
  else if ([402, 409, 503].includes(res.status)) op.failed(`${res.status}`);
  else op.unknown(res.error || `${res.status}`);
}
