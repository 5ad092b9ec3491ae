package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MessageParams choose the messages a fault applies to. All that is given must hold.
type MessageParams struct {
	Header      map[string]string `yaml:"header" doc:"Only messages with these header fields; a trailing * stands for any rest of a value."`
	Key         string            `yaml:"key" doc:"Only this Nats-Msg-Id or X-Request-Id; a trailing * stands for any rest."`
	From        int               `yaml:"from" spec:"min=0" doc:"Only from the nth matching message on; first and every count from there."`
	First       int               `yaml:"first" spec:"min=0" doc:"Only the first n matching messages, of all links of the edge together."`
	Every       int               `yaml:"every" spec:"min=0" doc:"Only every nth matching message, of all links of the edge together."`
	Probability *Ratio            `yaml:"probability" doc:"Only this share of the matching messages, drawn per message from the seed."`
}

func (p MessageParams) narrow(s *Stage) (string, error) {
	if err := checkHeaders(p.Header); err != nil {
		return "", err
	}
	words, err := chooseUnits(&s.Match, "message", ConnParams{p.From, p.First, p.Every, p.Probability})
	if err != nil {
		return "", err
	}
	s.Match.Header, s.Match.Key = p.Header, p.Key
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		words += fmt.Sprintf(", %s: %s", name, p.Header[name])
	}
	if p.Key != "" {
		words += ", key " + p.Key
	}
	return ": " + words, nil
}

// SubjectParams choose messages by subject.
type SubjectParams struct {
	Subject string `yaml:"subject" spec:"required" doc:"Only messages of this subject: * is one token, a trailing > any rest."`
}

func (p SubjectParams) narrow(s *Stage) (string, error) {
	if err := checkFilter(p.Subject); err != nil {
		return "", err
	}
	s.Bus.Subject = p.Subject
	return " of " + p.Subject, nil
}

// checkFilter refuses what is no subject with wildcards.
func checkFilter(subject string) error {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		bad := t == "" || strings.ContainsAny(t, " \t\r\n") || len(t) > 1 && strings.ContainsAny(t, "*>") || t == ">" && i < len(tokens)-1
		if bad {
			return fmt.Errorf("subject %q is no subject: write orders.confirmed, orders.* or orders.>", subject)
		}
	}
	return nil
}
