// Everybody looks at the same product, whether or not the shop keeps up (open
// model): the hot key of a sale.
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    pages: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      // One VU per page under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 7),
      gracefulStop: '1s',
    },
  },
};

// whole: a page with all its parts, or one that says what it lacks.
function whole(res) {
  if (res.status !== 200) return false;
  const page = res.json();
  return page.product.price_cents > 0 && (page.reviews !== undefined || (page.partial || []).includes('reviews'));
}

export default function () {
  const op = operation('page');
  const res = http.get(`${__ENV.GATEWAY_URL}/products/tea`, { headers: op.headers(), tags: { name: 'page' }, timeout: '6s' });
  if (whole(res)) op.ok();
  else op.failed(res.error || `${res.status}`); // reading changes nothing: no page is a failure
}
