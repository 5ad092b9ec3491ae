// Customers look at product pages at a steady rate (open model).
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    browse: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 4),
      gracefulStop: '1s',
    },
  },
};

const skus = ['tea', 'coffee', 'cocoa', 'mate', 'rooibos'];

export default function () {
  const op = operation('page');
  const res = http.get(`${__ENV.GATEWAY_URL}/products/${skus[exec.scenario.iterationInTest % skus.length]}`, {
    // Many customers, each of whom asks now and then.
    headers: { 'X-Client-Id': `customer-${exec.scenario.iterationInTest % 50}`, ...op.headers() },
    tags: { name: 'page' },
    timeout: '3s',
  });
  // Reading changes nothing: an error is a failure, only silence is unknown.
  if (whole(res)) op.ok();
  else if (res.status >= 200) op.failed(`${res.status}`);
  else op.unknown(res.error);
}

// whole: a page with its product, and with its reviews or the word that they are missing.
function whole(res) {
  if (res.status !== 200) return false;
  const page = res.json();
  return page.product.price_cents > 0 && (page.reviews !== undefined || (page.partial || []).includes('reviews'));
}
