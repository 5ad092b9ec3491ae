// Forty customers read their profile, and every other time write it (open model).
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    profiles: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      // One VU per request under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 7),
      gracefulStop: '1s',
    },
  },
};

export default function () {
  const n = exec.scenario.iterationInTest;
  const url = `${__ENV.GATEWAY_URL}/profile?customer=customer-${Math.floor(n / 2) % 40}`;
  const op = operation(n % 2 ? 'read-profile' : 'write-profile');
  const params = { headers: { 'Content-Type': 'application/json', ...op.headers() }, tags: { name: 'profile' }, timeout: '6s' };
  const res = n % 2 ? http.get(url, params) : http.put(url, JSON.stringify({ name: 'Customer', address: `${n} New Street` }), params);
  if (res.status === 200) op.ok();
  else op.failed(res.error || `${res.status}`); // both may simply be done again
}
