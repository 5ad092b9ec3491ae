package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// letters is a run in which three messages were poisoned.
func letters(dead ...record.AuditRow) *world {
	w := newWorld()
	w.events = faultEvents("slow", "bus-poison", "payments -> nats", record.Receipt{Hits: 2, Unit: "messages", Items: []string{"m-1", "m-10"}})
	w.audit = append([]record.AuditRow{row("charges", op(0), 1)}, dead...)
	return w
}

func letter(id string, after time.Duration, attrs map[string]string) record.AuditRow {
	return record.AuditRow{Source: "dlq", Key: id, ID: "7", State: "dead", At: nanos(fault + after), Attrs: attrs}
}

func TestDLQ(t *testing.T) {
	t.Parallel()
	attrs := map[string]string{"cause": "malformed event", "header.Trace-Id": "t", "replays": "1"}
	good := letter("m-1", time.Second, attrs)
	params := "queue: dlq, fault: slow, causeMentions: malformed, keepsHeaders: [trace-id], within: 3s, replays: 1"
	byHeader := letter("other", time.Second, map[string]string{"cause": "malformed", "header.Trace-Id": "t", "header.Nats-Msg-Id": "m-10", "replays": "1"})
	none := letters(good)
	none.events = faultEvents("slow", "bus-poison", "payments -> nats", record.Receipt{Hits: 2, Unit: "messages"})
	unread := letters()
	unread.audit = nil
	for _, tt := range []struct {
		name    string
		world   *world
		verdict verdict.Verdict
		why     string
	}{
		{"all parked", letters(good, letter("m-10", 3*time.Second, attrs)), verdict.Pass, "every message arrived in dlq as it should"},
		{"known by a header", letters(good, byHeader), verdict.Pass, "every message arrived in dlq as it should"},
		{"one missing", letters(good), verdict.Fail, "in dlq: m-10: never arrived"},
		{"none arrived", letters(), verdict.Fail, "in dlq: m-1: never arrived (and 1 more)"},
		{"twice", letters(good, good, letter("m-10", 0, attrs)), verdict.Fail, "in dlq: m-1: arrived 2 times"},
		{"no cause", letters(good, letter("m-10", 0, map[string]string{"header.Trace-Id": "t", "replays": "1"})), verdict.Fail, "in dlq: m-10: arrived without a cause"},
		{"other cause", letters(good, letter("m-10", 0, map[string]string{"header.Trace-Id": "t", "cause": "timeout", "replays": "1"})), verdict.Fail,
			`in dlq: m-10: arrived with cause "timeout", which does not mention "malformed"`},
		{"header lost", letters(good, letter("m-10", 0, map[string]string{"cause": "malformed", "replays": "1"})), verdict.Fail, "in dlq: m-10: arrived without header trace-id"},
		{"in a loop", letters(good, letter("m-10", 0, map[string]string{"header.Trace-Id": "t", "cause": "malformed", "replays": "2"})), verdict.Fail,
			`in dlq: m-10: arrived with replays "2", not 1`},
		{"late", letters(good, letter("m-10", 3001*time.Millisecond, attrs)), verdict.Fail, "in dlq: m-10: arrived after 3s, not within 3s"},
		{"no message ids", none, verdict.Inconclusive, "fault slow left 0 message ids, 1 are needed"},
		{"books not read", unread, verdict.Inconclusive, "the record has no books of dlq"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, dlq: {"+params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}
