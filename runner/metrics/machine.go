package metrics

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"squall/runner/record"
)

// MachineSource is the source of what the machine of the run says of itself. Its
// series are named as node_exporter and cAdvisor name them.
const MachineSource = "machine"

// cpuModes are the columns of the first line of /proc/stat (proc(5)).
var cpuModes = []string{"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"}

// userHz is the unit of /proc/stat, the same on every Linux that Go runs on.
const userHz = 100

// Machine gives CPU time and load of this machine to put, as scrapes, until ctx
// ends: they tell a sick run from a sick system. It costs two reads of /proc;
// where there is none, it says nothing.
func Machine(ctx context.Context, every time.Duration, put func(record.Scrape) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		s, err := machineScrape(first)
		if err != nil {
			return
		}
		_ = put(s) // a failed write is kept by the writer as a gap
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// firstMachineID lies between the numbers of the load generator and the scraper's.
const firstMachineID = firstID / 2

func machineScrape(introduce bool) (record.Scrape, error) {
	s := record.Scrape{At: time.Now().UnixNano(), Source: MachineSource, Up: true}
	add := func(name, mode, typ string, v float64) {
		id := uint32(firstMachineID + len(s.V))
		labels := map[string]string{"__name__": name, "job": MachineSource, "instance": MachineSource}
		if mode != "" {
			labels["mode"] = mode
		}
		if introduce {
			s.New = append(s.New, record.Series{ID: id, Labels: labels, Type: typ})
		}
		s.V = append(s.V, record.Value{ID: id, V: record.Float(v)})
	}
	cpu, err := cpuSeconds()
	if err != nil {
		return s, err
	}
	for i, mode := range cpuModes {
		add("node_cpu_seconds_total", mode, typeCounter, cpu[i])
	}
	load, err := loadAverage()
	add("node_load1", "", typeGauge, load)
	add("machine_cpu_cores", "", typeGauge, float64(runtime.NumCPU()))
	return s, err
}

func cpuSeconds() (out [8]float64, err error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return out, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) < 1+len(out) || fields[0] != "cpu" {
		return out, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i := range out {
		ticks, err := strconv.ParseFloat(fields[i+1], 64)
		if err != nil {
			return out, fmt.Errorf("/proc/stat: %w", err)
		}
		out[i] = ticks / userHz
	}
	return out, nil
}

func loadAverage() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}
