// A script that gives up after five seconds.
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    crashes: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: 40,
      gracefulStop: '1s',
    },
  },
};

export default function () {
  if (exec.instance.currentTestRunDuration > 5000) exec.test.abort('no more of this');
  const op = operation('page');
  const res = http.get(`${__ENV.GATEWAY_URL}/products/tea`, { headers: op.headers(), tags: { name: 'page' }, timeout: '6s' });
  if (res.status === 200) op.ok();
  else op.failed(res.error || `${res.status}`);
}
