// Durable consumers.
//
// Answers: a consumer that dies, or is down for a while. The stream remembers
// for each group how far it is; the instances of a service are one group and
// share its messages, and what an instance has not acknowledged goes to another.
// Numbers: 8 workers, for a piece of work takes about a millisecond; 256
// messages unacknowledged at most, far more than wait for a redelivery at a
// time; 5 s until a message whose instance died is delivered again; 4 s for a
// handler, twice what a call of the database may take.
// Costs: messages pass each other; where that matters see lanes.go.
// Breaks without it: TestInstancesShareMessages.
// No off switch of its own: see ack.go, deadletter.go, lanes.go and ttl.go.

package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

const (
	defaultWorkers = 8
	maxUnacked     = 256
	handleTime     = 4 * time.Second
	finishTime     = time.Second // for what is in hand when the service ends
)

// Consumer is a running durable consumer.
type Consumer struct {
	bus     *Bus
	h       *service.Host
	o       ConsumerOptions
	handle  Handler
	acks    acks
	dead    *deadLetters
	ttl     *expiry
	results *prometheus.CounterVec
	hand    hand
	spread  func(ctx context.Context, in <-chan *delivery) // works until in is closed, then ends what it holds
	durable atomic.Pointer[jetstream.Consumer]             // nil while not consuming
	lagging *lagging
}

// Consume handles messages until the service ends. It needs a service that runs.
func (b *Bus) Consume(h *service.Host, o ConsumerOptions, handle Handler) *Consumer {
	c := b.newConsumer(h, o, handle)
	c.spread = c.parallel
	if o.Ordered {
		c.spread = func(ctx context.Context, in <-chan *delivery) { newLanes(c).run(ctx, in) }
	}
	return c
}

func (b *Bus) newConsumer(h *service.Host, o ConsumerOptions, handle Handler) *Consumer {
	if o.Workers == 0 {
		o.Workers = defaultWorkers
	}
	c := &Consumer{
		bus: b, h: h, o: o, handle: handle, acks: newAcks(h), hand: hand{held: map[uint64]*delivery{}}, dead: newDeadLetters(h, b, o.Name), ttl: newExpiry(h, o), lagging: newLagging(),
		results: h.Counter("bus_messages_total", "Deliveries handled, by what became of the message.", "consumer", "result"),
	}
	h.GaugeFunc("bus_consumer_lag", "Messages that this consumer has not settled yet; NaN while unknown.", prometheus.Labels{"consumer": o.Name}, c.lagging.get)
	h.Go("lag "+o.Name, c.watchLag)
	h.Go("consumer "+o.Name, c.run)
	h.Go("redrive "+o.Name, newRedriver(h, b, o.Name, c.dead).run)
	return c
}

// Ready is a health check: nil while the consumer is consuming.
func (c *Consumer) Ready(context.Context) error {
	if c.durable.Load() == nil || !c.bus.Connected() {
		return fmt.Errorf("consumer %s is not consuming", c.o.Name)
	}
	return nil
}

// run consumes until ctx ends, starting over when the iterator gives up.
func (c *Consumer) run(ctx context.Context) error {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 1; ; failures++ {
		err := c.consume(ctx, func() { failures = 0 })
		c.durable.Store(nil)
		if ctx.Err() != nil {
			return nil
		}
		c.h.Logger.Warn("consuming interrupted", "consumer", c.o.Name, "error", err)
		if backoff.Wait(ctx, pause.Delay(max(failures, 1)), nil) != nil {
			return nil
		}
	}
}

func (c *Consumer) consume(ctx context.Context, started func()) error {
	if err := c.bus.Ensure(ctx); err != nil { // each time: a bus that lost its disks has no streams
		return err
	}
	durable, err := c.bus.durable(ctx, c.config())
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	messages, err := durable.Messages(c.pull()...)
	if err != nil {
		return fmt.Errorf("pull messages: %w", err)
	}
	// Drain, not Stop: what has been fetched already is worked on, instead of
	// coming again after the ack wait. It needs the bus, and may take too long.
	stop := context.AfterFunc(ctx, messages.Drain)
	defer stop()
	defer messages.Stop()
	c.durable.Store(&durable)
	started()
	return c.receive(ctx, messages)
}

func (c *Consumer) config() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:        c.o.Name,
		FilterSubjects: c.o.Subjects,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        c.bus.times.ackWait,
		MaxAckPending:  maxUnacked,
		MaxDeliver:     c.dead.serverBound(),
	}
	if c.o.Ordered {
		cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{pinGroup}, c.bus.times.pinTTL
	}
	return cfg
}

func (c *Consumer) pull() []jetstream.PullMessagesOpt {
	if !c.o.Ordered {
		return []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(maxUnacked), jetstream.PullExpiry(10 * time.Second), jetstream.PullHeartbeat(2 * time.Second)}
	}
	return []jetstream.PullMessagesOpt{ // each pull renews the pin
		jetstream.PullMaxMessages(maxUnacked), jetstream.PullPriorityGroup(pinGroup), jetstream.PullExpiry(c.bus.times.pinTTL / 2), jetstream.PullHeartbeat(c.bus.times.pinTTL / 4),
	}
}

// receive hands deliveries over until the iterator ends, and waits for them.
func (c *Consumer) receive(ctx context.Context, messages jetstream.MessagesContext) error {
	work, cancel := finishing(ctx)
	defer cancel()
	in := make(chan *delivery, maxUnacked) // for all there may be: what waits in the iterator cannot be kept
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(in)
	wg.Go(func() { defer cancel(); c.spread(work, in) })
	wg.Go(func() { c.hand.keep(work, c.bus.times.ackWait/3) })
	for {
		msg, err := messages.Next(jetstream.NextContext(work))
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue // the iterator pulls again by itself
		}
		if err != nil {
			return fmt.Errorf("next message: %w", err)
		}
		d, err := newDelivery(msg)
		if err != nil {
			return fmt.Errorf("read message: %w", err)
		}
		if c.hand.take(d) {
			c.acks.received(d)
			in <- d
		}
	}
}

// finishing is a context that outlives ctx by a moment.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(finishTime, cancel) })
	return work, func() { stop(); cancel() }
}

// parallel works on several messages at once, each on its own.
func (c *Consumer) parallel(ctx context.Context, in <-chan *delivery) {
	var wg sync.WaitGroup
	for range c.o.Workers {
		wg.Go(func() {
			for d := range in {
				c.alone(ctx, d)
			}
		})
	}
	wg.Wait()
}

// alone works on one message and settles it, whatever comes of it.
func (c *Consumer) alone(ctx context.Context, d *delivery) {
	err := c.work(ctx, d)
	c.hand.drop(d) // before it is given back, for it may come at once
	if err != nil {
		c.count(c.dead.failed(ctx, d, err))
	}
}

// work does and acknowledges one message, or says why it could not.
func (c *Consumer) work(ctx context.Context, d *delivery) error {
	ctx, cancel := context.WithTimeout(ctx, handleTime)
	defer cancel()
	result, err := c.process(ctx, d)
	if err != nil {
		return err
	}
	c.acks.done(d)
	c.count(result)
	return nil
}

// process brings one message to its end, whatever that is.
func (c *Consumer) process(ctx context.Context, d *delivery) (result string, err error) {
	if !isFor(d.Header, c.o.Name) {
		return "skipped", nil
	}
	if c.ttl.expired(d.Message) {
		return "expired", c.ttl.drop(ctx, d.Message)
	}
	if err := c.dead.unanswered(d); err != nil {
		return "", err
	}
	ctx, end := c.h.Tracer.Consume(ctx, d.Subject, d.Header)
	ctx = service.WithOperation(ctx, service.Operation{ID: d.Operation()})
	err = c.handle(ctx, d.Message)
	end(err)
	return "done", err
}

// plain reports whether a message is to be handled, and nothing else.
func (c *Consumer) plain(d *delivery) bool {
	return isFor(d.Header, c.o.Name) && !c.ttl.expired(d.Message) && c.dead.unanswered(d) == nil
}

func (c *Consumer) count(result string) { c.results.WithLabelValues(c.o.Name, result).Inc() }
