package proxy

// chance returns a number in [0, 1) that depends on its arguments alone, so
// the same seed hits the same connections and requests in every run.
func chance(seed uint64, id string, n uint64) float64 {
	return unit(mix(mix(seed+hash(id)) + n))
}

// dice is one endless row of numbers in [0, 1), which depends on its seed alone.
type dice uint64

func newDice(seed uint64, id string, n uint64) dice {
	return dice(mix(mix(mix(seed+hash(id)) + n)))
}

// at returns the nth number of the row.
func (d dice) at(n uint64) float64 { return unit(mix(uint64(d) + n)) }

func unit(x uint64) float64 { return float64(x>>11) / (1 << 53) }

// hash is FNV-1a.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix is the finaliser of SplitMix64: neighbouring inputs give unrelated outputs.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
