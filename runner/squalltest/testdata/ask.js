import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    ask: {
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
  const op = operation('ask');
  const res = http.get(`${__ENV.API_URL}/`, { headers: op.headers(), timeout: '2s' });
  if (res.status === 200) op.ok();
  else op.failed(res.error || `${res.status}`);
}
