package faults

// BusDuplicateParams are the parameters of bus-duplicate.
type BusDuplicateParams struct {
	SubjectParams `yaml:",inline"`
	Of            string `yaml:"of" spec:"default=delivery,enum=delivery|publish" doc:"What comes twice: a message that the broker delivers, or one that is published."`
	MessageParams `yaml:",inline"`
	GateParams    `yaml:",inline"`
}

func newBusDuplicate(decode func(any) error) (Fault, error) {
	var p BusDuplicateParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	s := Stage{Bus: &BusRule{Of: BusFlow(p.Of), Action: BusDuplicate}}
	return newStageFault("every "+p.Of+" twice", s, p.SubjectParams, p.MessageParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "bus-duplicate",
		Summary: "messages of a subject come twice",
		Needs:   NeedsBus,
		Unit:    "message",
		Params:  BusDuplicateParams{},
		Doc: `Duplicates as a bus really makes them, without the wait for one. Of delivery: the consumer is given the message a
second time right after the first, as JetStream delivers it again: the same message, id and stream sequence, and a delivery
count one higher. A consumer that asked for one message and stopped listening is not given the second. Of publish: the broker
is given it twice as by a publisher that tries again, with the same Nats-Msg-Id if there is one; a stream then drops the
second within its window, and stores both where there is no id.
Receipt: messages that came twice, with their ids. Undo: the stage is removed; copies that a stream stored stay.`,
		New:    newBusDuplicate,
		Revert: revertStage,
	})
}
