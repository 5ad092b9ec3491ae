package dlq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func run(t *testing.T, url string, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = Main(t.Context(), args, func(name string) string { return map[string]string{"NATS_URL": url}[name] }, &out, &errOut)
	return code, out.String(), errOut.String()
}

func TestUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"nothing":          {nil, "say what to do"},
		"unknown command":  {[]string{"drop"}, `unknown command "drop"`},
		"unknown flag":     {[]string{"list", "--all"}, "not defined: -all"},
		"argument":         {[]string{"list", "7"}, `unexpected argument "7"`},
		"replay what":      {[]string{"replay"}, "either --seq N or --all"},
		"replay both":      {[]string{"replay", "--seq", "1", "--all"}, "either --seq N or --all"},
		"seq is no number": {[]string{"replay", "--seq", "x"}, "invalid value"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := run(t, "127.0.0.1:1", tt.args...)
			assert.Equal(t, 2, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, tt.want)
			assert.Contains(t, stderr, "usage: shop dlq list")
		})
	}
	code, _, stderr := run(t, "", "list")
	assert.Equal(t, 2, code)
	assert.Contains(t, stderr, "NATS_URL is needed")
}

// TestListAndReplay: a message that dies is listed, replayed by hand, and comes
// back with its count.
func TestListAndReplay(t *testing.T) {
	url := servicetest.Bus(t)
	servicetest.Start(t, func(_ context.Context, h *service.Host) error {
		b, err := bus.Connect(h)
		if err != nil {
			return err
		}
		b.Consume(h, bus.ConsumerOptions{Name: "c"}, func(context.Context, bus.Message) error {
			return bus.Permanent(errors.New("cannot be read"))
		})
		return nil
	}, map[string]string{"NATS_URL": url})
	b, err := bus.Dial(url, "test", nil)
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, b.Ensure(t.Context()))
	_, err = b.JetStream.Publish(t.Context(), "orders.placed", []byte(`{`))
	require.NoError(t, err)

	listed := func() (letters []bus.Letter) {
		code, stdout, stderr := run(t, url, "list", "--json")
		require.Equal(t, 0, code, stderr)
		require.NoError(t, json.Unmarshal([]byte(stdout), &letters))
		return letters
	}
	require.Eventually(t, func() bool { return len(listed()) == 1 }, 10*time.Second, 20*time.Millisecond)
	assert.Equal(t, "cannot be read", listed()[0].Cause)
	assert.Equal(t, []byte(`{`), listed()[0].Data)
	code, stdout, _ := run(t, url, "list")
	assert.Equal(t, 0, code)
	assert.Regexp(t, `(?m)^SEQ +AGE +CONSUMER .*\n1 +\d+s +c +orders.placed .* 4 +0 +cannot be read$`, strings.TrimSpace(stdout))

	code, _, stderr := run(t, url, "replay", "--seq", "77")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "no such dead letter: 77")
	code, stdout, stderr = run(t, url, "replay", "--seq", "1")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "replayed 1\n", stdout)
	require.Eventually(t, func() bool { l := listed(); return len(l) == 1 && l[0].Replays == 1 }, 10*time.Second, 20*time.Millisecond)
	code, stdout, stderr = run(t, url, "replay", "--all")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "replayed 2\n", stdout)
}

func TestBusAway(t *testing.T) {
	began := time.Now()
	code, _, stderr := run(t, "127.0.0.1:1", "list")
	assert.Equal(t, 1, code)
	assert.NotEmpty(t, stderr)
	assert.Less(t, time.Since(began), 5*time.Second)
}
