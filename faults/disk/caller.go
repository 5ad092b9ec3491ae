package disk

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// InstanceVariable is in the environment of every process of a service, and of
// what it starts: the name of its instance. Instances share a data folder, and
// a fault may be aimed at one of them.
const InstanceVariable = "SQUALL_INSTANCE"

// belongs says whether a process is one of an instance. Some programs write over
// their environment (PostgreSQL does): then their parent tells.
func belongs(pid int, instance string) bool {
	for pid > 1 {
		if name, told := instanceOf(pid); told {
			return name == instance
		}
		pid = parentOf(pid)
	}
	return false // the kernel itself, writing back what was mapped, or a stranger
}

func instanceOf(pid int) (name string, told bool) {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return "", false
	}
	for v := range bytes.SplitSeq(environ, []byte{0}) {
		if value, is := bytes.CutPrefix(v, []byte(InstanceVariable+"=")); is {
			return string(value), true
		}
	}
	return "", false
}

// parentOf is field 4 of /proc/PID/stat; 0 when there is no such process.
func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(string(fields[1]))
	return parent
}
