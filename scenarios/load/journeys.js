// Customers sign in, browse, look at a product, check out, look at their orders
// and now and then think better of it (open model: one journey per arrival).
import exec from 'k6/execution';
import http from 'k6/http';
import { operation } from 'k6/x/squall';

export const options = {
  scenarios: {
    journeys: {
      executor: 'ramping-arrival-rate',
      timeUnit: '1m',
      stages: JSON.parse(__ENV.SQUALL_STAGES),
      // One VU per journey under way; enough for a few seconds of a hanging shop.
      preAllocatedVUs: Math.ceil(Number(__ENV.SQUALL_PEAK) * 10),
      gracefulStop: '1s',
    },
  },
};

const skus = ['tea', 'coffee', 'cocoa', 'mate', 'rooibos'];
const shop = __ENV.GATEWAY_URL;

// step is one operation of a journey. A lost or vague reply is unknown, never
// failed: the books decide what really happened.
function step(name, token, send, good, refused) {
  const op = operation(name);
  const headers = { 'Content-Type': 'application/json', ...op.headers() };
  if (token) headers.Authorization = `Bearer ${token}`;
  const res = send({ headers, tags: { name }, timeout: '6s' });
  if (good(res)) op.ok();
  else if (refused(res)) op.failed(`${res.status}`);
  else op.unknown(res.error || `${res.status}`);
  return { res, id: op.id };
}

const is = (status) => (res) => res.status === status;
const answered = (res) => res.status >= 400; // reading changes nothing: an error is a failure
const decided = (res) => [400, 401, 402, 409, 422].includes(res.status) || (res.status === 503 && told(res));

// told: the shop says for certain that nothing was, or stays, done.
function told(res) {
  try {
    const body = res.json();
    return body.status === 'cancelled' || body.executed === false;
  } catch {
    return false;
  }
}

// whole: a page with all its parts, or one that says what it lacks.
function whole(res) {
  if (res.status !== 200) return false;
  const page = res.json();
  return page.product.price_cents > 0 && (page.reviews !== undefined || (page.partial || []).includes('reviews'));
}

export default function () {
  const customer = `customer-${__VU}`;
  const journey = exec.scenario.iterationInTest;
  const sku = skus[journey % skus.length];
  const body = (v) => JSON.stringify(v);

  const signin = step('signin', '', (p) => http.post(`${shop}/signin`, body({ user: customer, password: 'squall' }), p), is(200), answered);
  const token = signin.res.status === 200 ? signin.res.json().token : '';
  step('browse', token, (p) => http.get(`${shop}/products`, p), is(200), answered);
  step('page', token, (p) => http.get(`${shop}/products/${sku}`, p), whole, answered);
  const bought = step('checkout', token, (p) => http.post(`${shop}/checkout`, body({ items: [{ sku, qty: 1 }], customer }), p), is(201), decided);
  step('orders', token, (p) => http.get(`${shop}/customers/${customer}/orders`, p), is(200), answered);
  if (journey % 10 === 0 && bought.res.status === 201) {
    step('cancel', token, (p) => http.post(`${shop}/orders/${bought.id}/cancel`, null, p), is(200), decided);
  }
}
