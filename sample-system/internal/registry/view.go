package registry

import (
	"slices"
	"strings"
	"sync"
	"time"

	"squall/sample-system/internal/defect"
)

// view is what a client knows of the instances of one service. Its methods take
// the time, so that tests need no clock.
type view struct {
	ways    ways
	evictor evictor

	mu      sync.Mutex
	members []*member // by name
	turn    int       // round robin among equals
}

// member is an instance and how it has done lately.
type member struct {
	Instance
	base        string
	placeholder bool      // promised by the environment, not seen in the registry yet
	gone        time.Time // left or lost its lease then; zero: alive
	inFlight    int
	health      health
}

// dark instances get only calls that ask for them.
func (m *member) dark() bool { return m.Weight == 0 }

func newView(w ways, defects defect.Set) *view {
	v := &view{ways: w, evictor: newEvictor(defects)}
	for _, i := range w.placeholders() {
		v.members = append(v.members, &member{Instance: i, base: w.to(i), placeholder: true})
	}
	return v
}

// seen takes up a renewed entry.
func (v *view) seen(i Instance) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.find(i.Name)
	if m == nil {
		m = &member{}
		v.members = slices.DeleteFunc(v.members, func(old *member) bool {
			return old.placeholder && v.ways.ordinal(old.Name) == v.ways.ordinal(i.Name)
		})
		v.members = append(v.members, m)
	}
	if !m.gone.IsZero() || m.Addr != i.Addr {
		m.health = health{} // it has been started anew
	}
	m.Instance, m.base, m.placeholder, m.gone = i, v.ways.to(i), false, time.Time{}
	slices.SortFunc(v.members, func(a, b *member) int { return strings.Compare(a.Name, b.Name) })
}

// left notes that an instance's entry has gone from the registry: removed by
// itself, or else its lease ran out.
func (v *view) left(name string, byItself bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.find(name); m != nil && m.gone.IsZero() {
		m.gone = now
	}
	carrying := v.carrying()
	v.members = slices.DeleteFunc(v.members, func(m *member) bool {
		return !m.gone.IsZero() && v.evictor.forget(m, byItself && m.Name == name, carrying, now)
	})
}

// carrying counts the instances that are alive and not dark.
func (v *view) carrying() (n int) {
	for _, m := range v.members {
		if m.gone.IsZero() && !m.dark() {
			n++
		}
	}
	return n
}

// only notes that the registry has these entries and no others.
func (v *view) only(names map[string]bool, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, m := range v.members {
		if !names[m.Name] && m.gone.IsZero() {
			m.gone = now
		}
	}
}

// instances are those that may be called, panicking whether some of them are
// kept though the registry says that they have gone.
func (v *view) instances(now time.Time) (list []Instance, panicking bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	usable := v.evictor.usable(v.members, now)
	for _, m := range usable {
		list = append(list, m.Instance)
		panicking = panicking || !m.gone.IsZero()
	}
	return list, panicking
}

func (v *view) find(name string) *member {
	for _, m := range v.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}
