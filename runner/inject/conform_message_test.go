package inject

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/faults/pgtest"
)

func init() {
	roles["bus"], roles["db"] = roleBus, roleDB
	twice := func(x exchange) bool { return x.err == nil && x.status == 2 }
	conform(entry{kind: "bus-duplicate", on: "client -> bus", params: map[string]any{"subject": "plain.>"}, caller: plainBus, hit: twice, receipt: uses})
	conform(entry{kind: "bus-delay", on: "client -> bus", params: map[string]any{"subject": "plain.>", "delay": "80ms"}, caller: plainBus,
		hit: slower(75 * time.Millisecond), receipt: uses})
	conform(entry{kind: "bus-drop-ack", on: "client -> bus", params: map[string]any{"of": "publisher", "subject": "stored.>"}, caller: publisher,
		hit: silence, receipt: uses})
	conform(entry{kind: "bus-poison", on: "client -> bus", params: map[string]any{"subject": "stored.poison"}, caller: consumer,
		hit: says("poisoned"), receipt: exactly(3), sometimes: true, harmless: true})
	conform(entry{kind: "bus-node-kill", on: "bus", caller: plainBus, hit: failed, receipt: exactly(1)})
	conform(entry{kind: "db-hang", on: "client -> db", caller: query("SELECT 1"), hit: silence, receipt: uses, missing: noPostgres})
	conform(entry{kind: "db-kill-connections", on: "client -> db", caller: query("SELECT 1"), hit: failed, receipt: connections,
		sometimes: true, harmless: true, missing: noPostgres})
	conform(entry{kind: "db-lock", on: "client -> db", params: map[string]any{"table": "orders"}, caller: query("SELECT * FROM orders"), hit: failed,
		receipt: uses, harmless: true, missing: noPostgres})
}

func noPostgres() string {
	if pgtest.Without() {
		return "SQUALL_NO_POSTGRES=1"
	}
	return ""
}

// patient is how long callers wait for what the fault is not about.
const patient = 5 * time.Second

// busCaller has a connection to the bus and does something with it.
type busCaller struct {
	url  string
	made int
	conn *nats.Conn
	do   func(ctx context.Context, c *busCaller, x *exchange) error

	subject  string // of this caller alone
	sub      *nats.Subscription
	consumer jetstream.Consumer
}

var busCallers atomic.Int64

func busCallerOf(l *lab, do func(context.Context, *busCaller, *exchange) error) *busCaller {
	return &busCaller{url: l.env.ClientEnv()["BUS"], subject: fmt.Sprint(busCallers.Add(1)), do: do}
}

func (c *busCaller) use() exchange {
	err := c.connect()
	x := exchange{began: time.Now(), conn: c.made, err: err}
	if x.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		x.err = c.do(ctx, c, &x)
	}
	x.took = time.Since(x.began)
	if x.err != nil && (c.conn == nil || c.conn.IsClosed()) {
		c.close()
	}
	return x
}

func (c *busCaller) connect() (err error) {
	if c.conn != nil {
		return nil
	}
	c.made++
	c.conn, err = nats.Connect(c.url, nats.NoReconnect(), nats.Timeout(patient))
	return err
}

func (c *busCaller) close() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn, c.sub, c.consumer = nil, nil, nil
}

// plainBus sends itself a message, and counts how often it comes.
func plainBus(l *lab) caller { return busCallerOf(l, sendToItself) }

func sendToItself(ctx context.Context, c *busCaller, x *exchange) (err error) {
	subject := "plain." + c.subject
	if c.sub == nil {
		if c.sub, err = c.conn.SubscribeSync(subject); err != nil {
			return err
		}
	}
	if err := c.conn.Publish(subject, []byte("hello")); err != nil {
		return err
	}
	if _, err := c.sub.NextMsgWithContext(ctx); err != nil {
		return err
	}
	if err := c.conn.FlushWithContext(ctx); err != nil { // a second one would be here by then
		return err
	}
	more, _, err := c.sub.Pending()
	for range more {
		if _, err := c.sub.NextMsg(0); err != nil {
			return err
		}
	}
	x.status = 1 + more
	return err
}

// publisher stores a message in a stream.
func publisher(l *lab) caller {
	return busCallerOf(l, func(ctx context.Context, c *busCaller, _ *exchange) error {
		ctx, cancel := context.WithTimeout(ctx, callWithin) // the acknowledgement may still come, and be dropped
		defer cancel()
		js, err := jetstream.New(c.conn)
		if err == nil {
			_, err = js.Publish(ctx, "stored."+c.subject, []byte("hello"))
		}
		return err
	})
}

// consumer stores a message and takes what is stored until that comes; it says
// "poisoned" if something came before that cannot be read.
func consumer(l *lab) caller { return busCallerOf(l, storeAndTake) }

func storeAndTake(ctx context.Context, c *busCaller, x *exchange) error {
	js, err := jetstream.New(c.conn)
	if err != nil {
		return err
	}
	if c.consumer == nil {
		if c.consumer, err = js.CreateConsumer(ctx, "STORED", jetstream.ConsumerConfig{
			AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverNewPolicy,
			FilterSubjects: []string{"stored." + c.subject, "stored.poison"}, InactiveThreshold: time.Second,
		}); err != nil {
			return err
		}
	}
	if _, err := js.Publish(ctx, "stored."+c.subject, []byte("hello")); err != nil {
		return err
	}
	for {
		m, err := c.consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		if err := m.Ack(); err != nil {
			return err
		}
		if strings.HasSuffix(m.Subject(), c.subject) {
			return nil
		}
		x.body = "poisoned"
	}
}

// roleBus is a broker with a stream STORED, and a page that is there once the
// stream is.
func roleBus(args []string) error { // address, data folder, address of the page
	host, port, err := net.SplitHostPort(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "bus", Host: host, Port: n, JetStream: true, StoreDir: filepath.Join(args[1], "streams"), NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(5 * time.Second) {
		return errors.New("not ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "STORED", Subjects: []string{"stored.>"}, Storage: jetstream.MemoryStorage}); err != nil {
		return err
	}
	return roleWeb(args[2:])
}

// query asks the database the same thing again and again.
func query(sql string) func(*lab) caller {
	return func(l *lab) caller {
		_, addr, _ := strings.Cut(l.env.ClientEnv()["DB"], "://")
		return &queryCaller{dsn: pgtest.DSN(addr) + "&lock_timeout=100", sql: sql}
	}
}

type queryCaller struct {
	dsn, sql string
	made     int
	conn     *pgx.Conn
}

func (c *queryCaller) use() exchange {
	err := c.connect()
	x := exchange{began: time.Now(), conn: c.made, err: err}
	if x.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), callWithin)
		defer cancel()
		_, x.err = c.conn.Exec(ctx, c.sql, pgx.QueryExecModeSimpleProtocol)
	}
	x.took = time.Since(x.began)
	if x.err != nil {
		c.close()
	}
	return x
}

func (c *queryCaller) connect() (err error) {
	if c.conn != nil {
		return nil
	}
	c.made++
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	c.conn, err = pgx.Connect(ctx, c.dsn)
	return err
}

// close does not say goodbye, which would wait for an answer.
func (c *queryCaller) close() {
	if c.conn != nil {
		_ = c.conn.PgConn().Conn().Close()
	}
	c.conn = nil
}

// roleDB is a PostgreSQL server with a table orders, and a page that is there
// once the table is.
func roleDB(args []string) error { // address of either
	ctx, done := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer done()
	stop, err := pgtest.Run(args[0])
	if err != nil {
		return err
	}
	defer stop()
	conn, err := pgx.Connect(ctx, pgtest.DSN(args[0]))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE orders (n int)")
	if err = errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	return roleWeb(args[1:])
}
