package process

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"squall/faults"
)

// readCounter counts how often a file is opened after it has been replaced for
// the first time. The kernel tells both in their order (inotify), and joins equal
// events that follow one another: of several that open it at once it may tell one.
type readCounter struct {
	events *os.File
	name   string
	done   chan struct{}

	mu       sync.Mutex
	replaced bool
	seen     faults.Receipt
}

// countReads watches from now on, until close.
func countReads(file string) (*readCounter, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	c := &readCounter{events: os.NewFile(uintptr(fd), "inotify"), name: filepath.Base(file), done: make(chan struct{})}
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(file), unix.IN_OPEN|unix.IN_CLOSE|unix.IN_MOVED_TO); err != nil {
		_ = c.events.Close()
		return nil, os.NewSyscallError("inotify_add_watch", err)
	}
	go c.run()
	return c, nil
}

func (c *readCounter) run() {
	defer close(c.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.events.Read(buf)
		if err != nil {
			return
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			mask, length := binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
			end := unix.SizeofInotifyEvent + int(length)
			c.count(mask, strings.TrimRight(string(rest[unix.SizeofInotifyEvent:end]), "\x00"))
			rest = rest[end:]
		}
	}
}

func (c *readCounter) count(mask uint32, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case name != c.name:
	case mask&unix.IN_MOVED_TO != 0:
		c.replaced = true
	case c.replaced && mask&unix.IN_OPEN != 0:
		c.seen.Hits++
		c.seen.Last = time.Now()
		if c.seen.First.IsZero() {
			c.seen.First = c.seen.Last
		}
	}
}

func (c *readCounter) receipt() faults.Receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

func (c *readCounter) close() {
	_ = c.events.Close() // a second time changes nothing
	<-c.done
}
