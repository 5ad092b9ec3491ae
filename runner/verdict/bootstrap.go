package verdict

import (
	"math"
	"math/rand/v2"
	"slices"

	"squall/runner/record"
)

// resamples of a bootstrap: enough for the ends of a 95 % interval.
const resamples = 2000

// ratioOfMeans is how many times the mean of b is that of a, with its interval:
// a circular block bootstrap (Politis and Romano 1992), because neighbours in
// time resemble each other and single values would promise too much. The
// interval is widened for short series, of which resampling sees too little
// spread. The same seed gives the same interval.
func ratioOfMeans(a, b []float64, seed uint64) (ratio float64, in Interval) {
	rng := rand.New(rand.NewPCG(seed, 0))
	was, is := blocksOf(a), blocksOf(b)
	logs := make([]float64, resamples)
	for i := range logs {
		logs[i] = math.Log(is.mean(rng) / was.mean(rng))
	}
	slices.Sort(logs)
	mid := math.Log(mean(b) / mean(a))
	wide := widening(min(len(a), len(b)))
	low, high := logs[resamples*25/1000], logs[resamples*975/1000]
	return math.Exp(mid), Interval{record.Float(math.Exp(mid + wide*(low-mid))), record.Float(math.Exp(mid + wide*(high-mid)))}
}

// blockLength grows with the cube root, as the theory wants.
func blockLength(n int) int { return max(1, int(math.Round(math.Cbrt(float64(n))))) }

// widening makes up for what resampling few blocks cannot see: a mean of n/b of
// them has n/b-1 degrees of freedom, and its distribution Student's tails (97.5 %
// quantile by the first term of Cornish and Fisher's expansion).
func widening(n int) float64 {
	blocks := float64(n) / float64(blockLength(n))
	freedom := blocks - 1
	return math.Sqrt(blocks/freedom) * (1 + (z*z+1)/(4*freedom))
}

// blocks are the sums of all blocks of a series, by where they begin; the last
// one of a resample may be shorter, so that it is as long as the series.
type blocks struct {
	whole, rest []float64
	n, count    int // values of the series, and whole blocks in as many
}

func blocksOf(v []float64) blocks {
	length := blockLength(len(v))
	b := blocks{whole: blockSums(v, length), n: len(v), count: len(v) / length}
	if rest := len(v) % length; rest > 0 {
		b.rest = blockSums(v, rest)
	}
	return b
}

func blockSums(v []float64, length int) []float64 {
	sums := make([]float64, len(v))
	for start := range v {
		for i := range length {
			sums[start] += v[(start+i)%len(v)]
		}
	}
	return sums
}

// mean is that of one resample.
func (b blocks) mean(rng *rand.Rand) float64 {
	sum := 0.0
	for range b.count {
		sum += b.whole[rng.IntN(b.n)]
	}
	if b.rest != nil {
		sum += b.rest[rng.IntN(b.n)]
	}
	return sum / float64(b.n)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
