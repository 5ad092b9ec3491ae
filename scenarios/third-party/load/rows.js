// Clients write rows at a steady rate, whether or not they are taken (open model).
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    rows: {
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
  const op = operation('write');
  const res = http.post(`${__ENV.WEB_URL}/rows`, null, { headers: op.headers(), tags: { name: 'write' }, timeout: '2s' });
  // Whatever is no clear yes may have been written all the same: the table decides.
  if (res.status === 201) op.ok();
  else op.unknown(res.error || `${res.status}`);
}
