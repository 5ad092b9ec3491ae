// One customer is to look at pages as often as many would, and cannot.
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    starved: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: 1,
      gracefulStop: '1s',
    },
  },
};

export default function () {
  const op = operation('page');
  const res = http.get(`${__ENV.GATEWAY_URL}/products/tea`, { headers: op.headers(), tags: { name: 'page' }, timeout: '6s' });
  if (res.status === 200) op.ok();
  else op.failed(res.error || `${res.status}`);
}
