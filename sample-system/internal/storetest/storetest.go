// Package storetest runs a test on both databases: SQLite, and a PostgreSQL
// server from the distribution's packages, started once for a package's tests.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/postgres/server"
)

// WithoutPostgres is the variable that says, with "1", that this machine has no
// PostgreSQL: tests then run on SQLite only.
const WithoutPostgres = "SQUALL_NO_POSTGRES"

// shared is the server of this test binary. It is started by the first test
// that needs it, and stopped by Main.
var shared struct {
	mu      sync.Mutex
	managed bool // Main is there to stop it
	server  *Server
}

// Main runs the tests and then stops the server, if one was started:
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }
func Main(m *testing.M) int {
	shared.managed = true
	code := m.Run()
	if shared.server != nil {
		shared.server.Stop()
	}
	return code
}

// Each runs test once on each database. h is a host whose store.Open gets a new
// and empty database.
func Each(t *testing.T, test func(t *testing.T, h *service.Host)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, host(t, nil)) })
	if HavePostgres(t) {
		t.Run("postgres", func(t *testing.T) { test(t, host(t, map[string]string{"SHOP_DB": Postgres(t)})) })
	}
}

// HavePostgres is false only where somebody has said that there is no
// PostgreSQL; a server that is merely absent is an error of the test.
func HavePostgres(t testing.TB) bool {
	if os.Getenv(WithoutPostgres) != "1" {
		return true
	}
	t.Logf("not on PostgreSQL: %s=1", WithoutPostgres)
	return false
}

// Env is what a service needs in its environment to open the database of h:
// several services with it share that database.
func Env(h *service.Host) map[string]string {
	return map[string]string{"SHOP_DB": h.Getenv("SHOP_DB"), "SHOP_DATA": h.Data}
}

func host(t *testing.T, env map[string]string) *service.Host {
	h := service.Bare(servicetest.Config(t, env))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// Postgres is the address of a new and empty database, for SHOP_DB.
func Postgres(t testing.TB) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	require.True(t, shared.managed, "this package needs func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }")
	if shared.server == nil {
		s, err := Start()
		if errors.Is(err, server.ErrAbsent) {
			err = fmt.Errorf("%w; install it (package postgresql), or set %s=1 to test on SQLite only", err, WithoutPostgres)
		}
		require.NoError(t, err)
		shared.server = s
	}
	dsn, err := shared.server.create(t.Context(), name(t.Name()))
	require.NoError(t, err)
	return dsn
}

// name makes the name of a test one of a database.
func name(test string) string {
	n := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	return fmt.Sprintf("%.40s_%d", n, time.Now().UnixNano())
}

// Server is a PostgreSQL server of a test.
type Server struct {
	*server.Server

	Addr string // host:port

	folder string
}

// Start starts a server on a free port of the loopback.
func Start() (*Server, error) {
	in, err := server.Find()
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "squall-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{folder: folder}
	if err := s.start(in); err != nil {
		return nil, errors.Join(fmt.Errorf("start a PostgreSQL server: %w", err), os.RemoveAll(folder))
	}
	return s, nil
}

func (s *Server) start(in *server.Installation) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := os.Chmod(s.folder, 0o711); err != nil { // for the user that the server runs as
		return err
	}
	data := filepath.Join(s.folder, "data")
	if err := in.Folder(data); err != nil {
		return err
	}
	if err := in.Run(ctx, "initdb", "-D", data, "-U", "shop", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"); err != nil {
		return err
	}
	if err := s.Resume(in); err != nil {
		return err
	}
	return s.await(ctx)
}

// Resume starts the server again after it was stopped, on the same port.
func (s *Server) Resume(in *server.Installation) error {
	if s.Addr == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Addr = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
	}
	_, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return err
	}
	s.Server, err = in.Start(filepath.Join(s.folder, "data"), map[string]string{
		"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off", "max_connections": "200",
		"shared_buffers": "32MB",
	}, io.Discard)
	return err
}

func (s *Server) await(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return err
		case <-s.Done():
			return fmt.Errorf("ended: %w", s.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Stop ends the server and removes its data.
func (s *Server) Stop() {
	s.Server.Stop(server.Immediate, 5*time.Second)
	_ = os.RemoveAll(s.folder) // a rest in the folder for temporary files harms nobody
}

func (s *Server) create(ctx context.Context, database string) (string, error) {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()); err != nil {
		return "", err
	}
	return s.DSN(database), nil
}

// DSN is the address of a database of the server, for SHOP_DB.
func (s *Server) DSN(database string) string {
	return "postgres://shop@" + s.Addr + "/" + database + "?sslmode=disable"
}
