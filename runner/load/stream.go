package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"squall/runner/record"
)

// line is one line of the generator's stream.
type line struct {
	Scrape  *record.Scrape    `json:"scrape"`
	Op      *record.Operation `json:"op"`
	Dropped uint64            `json:"dropped"`
}

func parseLine(raw []byte) (line, error) {
	var l line
	if err := json.Unmarshal(raw, &l); err != nil {
		return line{}, fmt.Errorf("line %.200q: %w", bytes.TrimSpace(raw), err)
	}
	return l, nil
}

// read passes the stream on until the generator closes it.
func (p *Process) read(stream io.ReadCloser, sink Sink) error {
	defer stream.Close()
	lines := bufio.NewReaderSize(stream, 1<<16)
	flowing := false
	for {
		raw, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a last line without end is one that the generator died in
		}
		if err != nil {
			return err
		}
		l, err := parseLine(raw)
		if err != nil {
			return err
		}
		if err := l.passOn(sink); err != nil {
			return err
		}
		if !flowing && l.Scrape != nil && len(l.Scrape.H) > 0 {
			flowing = true
			close(p.flowing)
		}
	}
}

func (l line) passOn(sink Sink) error {
	if l.Dropped > 0 {
		sink.Lost(l.Dropped)
	}
	if l.Scrape != nil {
		if err := sink.Scrape(*l.Scrape); err != nil {
			return err
		}
	}
	if l.Op != nil {
		return sink.Operation(*l.Op)
	}
	return nil
}
