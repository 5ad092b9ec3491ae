import http from 'k6/http';

export function place() {
  http.post(`${__ENV.ORDERS_URL}/orders`);
}
