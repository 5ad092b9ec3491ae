package reports

import (
	"time"

	"squall/runner/record"
)

// maxPage bounds a report, in bytes. What would be larger is rendered again with
// less of what there is much of; it says so.
const maxPage = 500_000

// mostThrift is how often what there is much of is halved at most.
const mostThrift = 6

// mostText bounds one text of a system or a person on the page, in runes.
const mostText = 1000

// thrifty is a digest with half as much of everything for each level.
func (d *Digest) thrifty(level int) *Digest {
	out := *d
	out.Worst = half(d.Worst, level)
	out.Logs = half(d.Logs, level)
	out.Flawed = half(d.Flawed, level)
	out.Edges = half(d.Edges, level-2) // the system itself only where nothing else helps
	out.Books = half(d.Books, level-2)
	out.Breaker, out.Queues = thinned(half(d.Breaker, level), level), thinned(half(d.Queues, level), level)
	if level > 1 {
		out.Buckets, out.Step = merged(d, 1<<(level-1))
	}
	return &out
}

func half[T any](all []T, level int) []T {
	if level <= 0 {
		return all
	}
	return all[:(len(all)+1<<level-1)>>level]
}

// thinned keeps one change of a track in 2, 4, 8 and so on, and the last.
func thinned(tracks []track, level int) []track {
	out := make([]track, len(tracks))
	for i, t := range tracks {
		out[i] = track{Name: t.Name, From: t.From}
		for n, p := range t.Points {
			if n%(1<<level) == 0 || n == len(t.Points)-1 {
				out[i].Points = append(out[i].Points, p)
			}
		}
	}
	return out
}

// merged puts buckets together; of percentiles the highest stands for all.
func merged(d *Digest, by int) ([]bucket, time.Duration) {
	var out []bucket
	for i, b := range d.Buckets {
		if i%by == 0 {
			out = append(out, b)
			continue
		}
		to := &out[len(out)-1]
		to.OK, to.Failed, to.Unknown = to.OK+b.OK, to.Failed+b.Failed, to.Unknown+b.Unknown
		to.Calls, to.Retries, to.Lost = to.Calls+b.Calls, to.Retries+b.Retries, to.Lost+b.Lost
		to.P50, to.P95, to.P99, to.Bad = higher(to.P50, b.P50), higher(to.P95, b.P95), higher(to.P99, b.P99), higher(to.Bad, b.Bad)
	}
	return out, d.Step * time.Duration(by)
}

func higher(a, b record.Float) record.Float {
	if a > b || b != b {
		return a
	}
	return b
}
