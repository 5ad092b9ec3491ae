package spec

import (
	"strconv"
	"time"
	_ "time/tzdata" // zones of windows are known on machines without any

	"golang.org/x/crypto/ssh"
)

// LoadGameDay reads a game day file; files that it names are not touched.
func LoadGameDay(path string) (*GameDay, Problems) {
	src, ps := readFile(path)
	if len(ps) > 0 {
		return nil, ps
	}
	return ParseGameDay(path, src)
}

// ParseGameDay reads the text of a game day file.
func ParseGameDay(file string, src []byte) (*GameDay, Problems) {
	g := &GameDay{File: file}
	root, d := decodeRoot(file, src, g, nil)
	if root == nil {
		return nil, d.problems
	}
	v := validator{root: Node{at: d.pos(root), node: root}, problems: d.problems}
	v.gameDay(g)
	return g, v.problems.Unique()
}

func itoa(n int) string { return strconv.Itoa(n) }

func (v *validator) gameDay(g *GameDay) {
	v.choices(g.Spec.Switches)
	if w := g.Spec.Window; w != nil {
		w.check(func(field string, err error) { v.fail(v.root.At("spec", "window", field), "window: %v", err) })
	}
	ids := map[string]bool{}
	for i := range g.Spec.Steady {
		v.steady(&g.Spec.Steady[i], ids)
	}
	for i := range g.Spec.Guardrails {
		v.check(&g.Spec.Guardrails[i].Check, ids)
	}
	playbooks := map[string]bool{}
	for i := range g.Spec.Playbooks {
		p := &g.Spec.Playbooks[i]
		v.unique("playbook", p.ID, p.Src.At("id"), playbooks)
		for k := range p.Signals {
			v.check(&p.Signals[k].Check, ids)
		}
	}
	steps := map[string]bool{}
	for i := range g.Spec.Steps {
		v.dayStep(&g.Spec.Steps[i], steps, playbooks)
	}
}

func (v *validator) dayStep(s *DayStep, ids, playbooks map[string]bool) {
	v.unique("step", s.ID, s.Src.At("id"), ids)
	if s.Playbook != "" && !playbooks[s.Playbook] {
		v.suggest(s.Src.At("playbook"), Suggest(s.Playbook, sorted(playbooks)), "playbook: there is no playbook %s", quote(s.Playbook))
	}
	for does, on := range s.aims() {
		if aim, err := ParseAim(*on); err == nil {
			*on = aim.String()
		} else if *on != "" {
			v.fail(s.Src.At(does, "on"), "on: %v", err)
		}
	}
	if given := s.given(); len(given) != 1 {
		v.fail(s.Pos, "step %s: wants one of scenario, fault, ramp, wait and hold, has %d of them", quote(s.ID), len(given))
		return // what goes with which is open
	}
	does := s.Does()
	switch {
	case does == DoesFault && s.For == 0:
		v.fail(s.Src.At("fault"), "step %s: a fault needs for: how long it stands at most", quote(s.ID))
	case does != DoesFault && does != DoesWait && s.For > 0:
		v.fail(s.Src.At("for"), "for: goes with a fault or a wait, not with a %s", does)
	case does != DoesFault && s.Until == "person":
		v.fail(s.Src.At("until"), "until: goes with a fault, not with a %s", does)
	}
	if s.Playbook != "" && does != DoesFault && does != DoesRamp {
		v.fail(s.Src.At("playbook"), "playbook: goes with a fault or a ramp, not with a %s", does)
	}
}

// aims are what the step's fault and ramp are aimed at.
func (s *DayStep) aims() map[string]*string {
	out := map[string]*string{}
	if s.Fault != nil {
		out[DoesFault] = &s.Fault.On
	}
	if s.Ramp != nil {
		out[DoesRamp] = &s.Ramp.On
	}
	return out
}

// limits checks approvers and limits of a system.
func (v *validator) limits(s *System) {
	names, keys := map[string]bool{}, map[string]string{}
	for i, a := range s.Spec.Approvers {
		at := func(field string) Pos { return v.root.At("spec", "approvers", itoa(i), field) }
		if names[a.Name] {
			v.fail(at("name"), "approvers: %s is given twice", quote(a.Name))
		}
		names[a.Name] = true
		key, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(a.Key))
		switch {
		case err != nil || len(rest) > 0:
			v.fail(at("key"), "key: want one public key as in an authorized_keys file, such as: ssh-ed25519 AAAA...")
		case keys[string(key.Marshal())] != "":
			v.fail(at("key"), "key: it is that of %s already: one person, one key", keys[string(key.Marshal())])
		default:
			keys[string(key.Marshal())] = a.Name
		}
	}
	l := s.Spec.Limits
	if l == nil {
		return
	}
	for i, name := range l.Protected {
		if _, ok := s.Spec.Services[name]; !ok {
			v.suggest(v.root.At("spec", "limits", "protected", itoa(i)), Suggest(name, sorted(s.Spec.Services)), "protected: there is no service %s", quote(name))
		}
	}
	for risk, n := range map[string]int{"low": l.Approvals.Low, "medium": l.Approvals.Medium, "high": l.Approvals.High} {
		if n > len(s.Spec.Approvers) {
			v.fail(v.root.At("spec", "limits", "approvals", risk), "approvals: %s wants %d, there are %d approvers", risk, n, len(s.Spec.Approvers))
		}
	}
}

// check tells each mistake with its field.
func (w TimeWindow) check(fail func(field string, err error)) {
	zone, err := time.LoadLocation(w.Zone)
	if err != nil || w.Zone == "Local" {
		fail("zone", errZone(w.Zone))
		zone = time.UTC
	}
	from, fromErr := parseEdge(w.From, zone)
	to, toErr := parseEdge(w.To, zone)
	if fromErr != nil && w.From != "" {
		fail("from", fromErr)
	}
	if toErr != nil && w.To != "" {
		fail("to", toErr)
	}
	switch {
	case fromErr != nil || toErr != nil:
	case from.daily != to.daily:
		fail("to", errMixed)
	case !from.before(to):
		fail("to", errOrder)
	}
	if fromErr == nil && !from.daily && len(w.Days) > 0 {
		fail("days", errDays)
	}
}
