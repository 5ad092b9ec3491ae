import { place } from './lib/place.js';

export default function () {
  place();
}
