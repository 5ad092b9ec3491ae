package faults

import (
	"errors"
	"fmt"
	"strings"
)

// BusDropAckParams are the parameters of bus-drop-ack.
type BusDropAckParams struct {
	Of            string `yaml:"of" spec:"default=consumer,enum=consumer|publisher" doc:"Whose acknowledgements are lost: those a consumer gives, or those a publisher waits for."`
	Stream        string `yaml:"stream" doc:"Of consumer: only messages of this stream."`
	Consumer      string `yaml:"consumer" doc:"Of consumer: only what this consumer acknowledges."`
	Subject       string `yaml:"subject" doc:"Of publisher, required: only messages published to this subject; * is one token, a trailing > any rest."`
	MessageParams `yaml:",inline"`
	GateParams    `yaml:",inline"`
}

func newBusDropAck(decode func(any) error) (Fault, error) {
	var p BusDropAckParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Of == "publisher" {
		return p.publisher()
	}
	return p.consumer()
}

func (p BusDropAckParams) publisher() (Fault, error) {
	if p.Stream != "" || p.Consumer != "" {
		return nil, errors.New("stream and consumer are of no use with of: publisher; write subject")
	}
	s := Stage{Bus: &BusRule{Of: BusPublishAck, Action: BusDrop}}
	return newStageFault("acknowledgements of publications lost", s, SubjectParams{p.Subject}, p.MessageParams, p.GateParams)
}

func (p BusDropAckParams) consumer() (Fault, error) {
	if p.Subject != "" || len(p.Header) > 0 || p.Key != "" {
		return nil, errors.New("an acknowledgement of a consumer has no subject, header or key of the message; write stream and consumer")
	}
	for _, name := range []string{p.Stream, p.Consumer} {
		if strings.ContainsAny(name, ".*> \t\r\n") {
			return nil, fmt.Errorf("%q is no name of a stream or consumer", name)
		}
	}
	says := "acknowledgements of consumers lost"
	if name := strings.Trim(p.Stream+" "+p.Consumer, " "); name != "" {
		says += " (" + name + ")"
	}
	s := Stage{Bus: &BusRule{Of: BusAck, Stream: p.Stream, Consumer: p.Consumer, Action: BusDrop}}
	return newStageFault(says, s, p.MessageParams, p.GateParams)
}

func init() {
	builtin(Kind{
		Name:    "bus-drop-ack",
		Summary: "acknowledgements of messages are lost",
		Needs:   NeedsBus,
		Unit:    "message",
		Params:  BusDropAckParams{},
		Doc: `The work is done, and who should know is not told. Of consumer: what a JetStream consumer acknowledges does not reach the
broker, which delivers the message again after the consumer's ack wait. That a consumer wants a message again, gives it up or
needs more time passes. Of publisher: the stream has stored the message and the publisher never learns it; refusals pass.
Receipt: acknowledgements lost, with the message's id or its stream and sequence. Undo: the stage is removed.`,
		New:    newBusDropAck,
		Revert: revertStage,
	})
}
