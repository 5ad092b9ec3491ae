// Customers with good tokens, and others with tokens that must be refused (open model).
import encoding from 'k6/encoding';
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    tokens: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      preAllocatedVUs: 12, // each signs in for itself, and passwords are slow to check by design
      gracefulStop: '1s',
    },
  },
};

const shop = __ENV.GATEWAY_URL;
const life = 5000; // of a token, in milliseconds: switch short-tokens
const leeway = 1000; // of the gateway, for clocks that differ

let fresh = { token: '', at: 0 };
let old = ''; // one that has expired for certain
let waiting = []; // tokens on their way there

export default function () {
  const now = Date.now();
  if (now - fresh.at > life / 2) signIn(now);
  while (waiting.length > 0 && now - waiting[0].at > life + leeway + 1000) old = waiting.shift().token;

  const turn = exec.scenario.iterationInTest % 4;
  if (turn < 2) ask('profile', fresh.token, 200);
  else if (turn === 2 && old !== '') ask('expired', old, 401);
  else ask('forged', forged(exec.scenario.iterationInTest), 401);
}

function signIn(now) {
  const res = http.post(`${shop}/signin`, JSON.stringify({ user: `customer-${__VU}`, password: 'squall' }), {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'signin' },
    timeout: '1s',
  });
  if (res.status !== 200) return; // the one at hand is good for a while
  fresh = { token: res.json().token, at: now };
  waiting.push(fresh);
}

function ask(name, token, want) {
  const op = operation(name);
  const headers = { ...op.headers() };
  if (token !== '') headers.Authorization = `Bearer ${token}`;
  const res = http.get(`${shop}/profile`, { headers, tags: { name }, timeout: '2s' });
  if (res.status === want) op.ok();
  else if (res.status > 0) op.failed(`${res.status}`);
  else op.unknown(res.error);
}

// forged takes turns: none at all, another customer's name under the old
// signature, no signature asked for.
function forged(n) {
  const [head, body, signature] = fresh.token.split('.');
  if (!signature || n % 3 === 0) return '';
  const claims = JSON.parse(encoding.b64decode(body, 'rawurl', 's'));
  claims.sub = 'customer-999';
  const other = encoding.b64encode(JSON.stringify(claims), 'rawurl');
  if (n % 3 === 1) return `${head}.${other}.${signature}`;
  return `${encoding.b64encode('{"alg":"none","typ":"JWT"}', 'rawurl')}.${other}.`;
}
