package process

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/runner/targets"
)

func TestFeedCountsWhatDoesNotFit(t *testing.T) {
	f := newFeed(2)
	for range 5 {
		f.put(targets.Event{Event: eventStarted})
	}
	<-f.ch
	<-f.ch
	f.put(targets.Event{Event: eventReady})
	assert.Equal(t, "3 events: the reader was too slow", (<-f.ch).Detail)
	assert.Equal(t, eventReady, (<-f.ch).Event)
	f.close()
	f.close()
	f.put(targets.Event{})
	_, more := <-f.ch
	assert.False(t, more)
}

func TestHubEndsItsReaders(t *testing.T) {
	h := newHub()
	early := h.subscribe()
	gone := h.subscribe()
	h.unsubscribe(gone)
	h.publish(targets.Event{Event: eventReady})
	h.close()
	assert.Equal(t, eventReady, (<-early.ch).Event)
	for _, f := range []*feed{early, gone, h.subscribe()} {
		_, more := <-f.ch
		assert.False(t, more)
	}
}
