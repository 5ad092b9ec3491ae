package proxy

import "hash/fnv"

// chance returns a number in [0, 1) that depends on its arguments alone, so
// the same seed hits the same connections and requests in every run.
func chance(seed uint64, id string, n uint64) float64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	x := mix(mix(seed+h.Sum64()) + n)
	return float64(x>>11) / (1 << 53)
}

// mix is the finaliser of SplitMix64: neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
