// Visitors fetch a page at a steady rate, whether or not it is served (open model).
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    pages: {
      executor: 'constant-arrival-rate',
      rate: Math.round(Number(__ENV.SQUALL_ARRIVAL) * 60),
      timeUnit: '1m',
      duration: __ENV.SQUALL_DURATION,
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_ARRIVAL) * 4),
      gracefulStop: '1s',
    },
  },
};

export default function () {
  const op = operation('page');
  const res = http.get(`${__ENV.WEB_URL}/page`, { headers: op.headers(), tags: { name: 'page' }, timeout: '2s' });
  if (res.status === 204) op.ok();
  else op.failed(res.error || `${res.status}`);
}
