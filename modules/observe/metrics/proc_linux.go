package metrics

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
)

// files reads small files of the kernel's, one after the other.
type files struct{ buffer []byte }

// read returns a file's content, which is valid until the next one is read. The
// os package would ask the poller about each file first, which costs more than
// the reading.
func (f *files) read(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if f.buffer == nil {
		f.buffer = make([]byte, 8<<10)
	}
	for size := 0; ; {
		n, err := unix.Read(fd, f.buffer[size:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			closed := unix.Close(fd)
			if err != nil {
				return nil, &fs.PathError{Op: "read", Path: path, Err: err}
			}
			return f.buffer[:size], closed
		}
		if size += n; size == len(f.buffer) {
			f.buffer = slices.Grow(f.buffer, size)[:2*size]
		}
	}
}

func proc(pid int, file string) string { return "/proc/" + strconv.Itoa(pid) + "/" + file }

// userTick is the unit of times in /proc/pid/stat (proc(5)): USER_HZ is 100 in
// every kernel that Linux programs know.
const userTick = time.Second / 100

// addProcesses adds to a reading what its processes use of the approximate
// measures. A process that has ended meanwhile is left out.
func addProcesses(f *files, reading *Reading, pids []int) error {
	wanted := map[Measure]bool{}
	for _, m := range reading.Approximate {
		wanted[m] = true
	}
	for _, pid := range pids {
		err := addProcess(f, reading, wanted, pid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

func addProcess(f *files, reading *Reading, wanted map[Measure]bool, pid int) error {
	text, err := f.read(proc(pid, "stat"))
	if err != nil {
		return err
	}
	// The command's name, in parentheses, may have blanks and parentheses.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 22 {
		return fs.ErrNotExist
	}
	if wanted[CPU] {
		for _, ticks := range fields[11:15] { // utime, stime, cutime, cstime
			n, _ := number(ticks)
			reading.CPU += time.Duration(n) * userTick
		}
	}
	if wanted[PIDs] {
		threads, _ := number(fields[17])
		reading.PIDs += int(threads)
	}
	if wanted[Memory] {
		pages, _ := number(fields[21])
		reading.Memory += pages * int64(os.Getpagesize())
	}
	if !wanted[Block] {
		return nil
	}
	text, err = f.read(proc(pid, "io"))
	if errors.Is(err, fs.ErrPermission) {
		// It became another user's by a set-user-id program; the rest is not secret.
		return nil
	}
	in, _ := keyed(text, "read_bytes: ")
	out, _ := keyed(text, "write_bytes: ")
	reading.Block.In += in
	reading.Block.Out += out
	return err
}

// readNetwork reads what a process's network namespace has received and sent.
func readNetwork(f *files, pid int, reading *Reading) error {
	text, err := f.read(proc(pid, "net/dev"))
	if err != nil {
		return err
	}
	reading.Net = parseNetDev(text)
	return nil
}

// parseNetDev adds up the lines of a /proc/net/dev, such as
// "  eth0: 1296 16 0 0 0 0 0 0 1296 16 0 0 0 0 0 0": bytes received first, bytes
// sent ninth.
func parseNetDev(text []byte) Traffic {
	var t Traffic
	for line := range bytes.Lines(text) {
		name, counters, ok := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(counters)
		if !ok || len(fields) < 9 || string(bytes.TrimSpace(name)) == "lo" {
			continue
		}
		in, _ := keyed(fields[0], "")
		out, _ := keyed(fields[8], "")
		t.In += in
		t.Out += out
	}
	return t
}

func readPressure(f *files, dir string, p *cgroup.PressureStats) error {
	for file, to := range map[string]**cgroup.Pressure{
		"cpu.pressure": &p.CPU, "memory.pressure": &p.Memory, "io.pressure": &p.IO,
	} {
		text, err := f.read(filepath.Join(dir, file))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
			continue // the kernel does not measure it
		}
		if err == nil {
			*to, err = cgroup.ParsePressure(string(text))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// withoutCgroup finds the processes of the targets that have no cgroup: those in
// the pid namespace of each one's first process.
func (r *Reader) withoutCgroup(targets []Target) map[int][]int {
	namespaces := map[string]int{}
	for _, t := range targets {
		if t.Cgroup && r.hierarchy != nil {
			continue
		}
		if ns, err := os.Readlink(proc(t.PID, "ns/pid")); err == nil {
			namespaces[ns] = t.PID
		}
	}
	if len(namespaces) == 0 {
		return nil
	}
	members := map[int][]int{}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what is missing has just ended
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		ns, err := os.Readlink(proc(pid, "ns/pid"))
		if first, ok := namespaces[ns]; ok && err == nil {
			members[first] = append(members[first], pid)
		}
	}
	return members
}

// keyed returns the number that follows a key in a text: at its beginning, or at
// that of a line.
func keyed(text []byte, key string) (int64, bool) {
	if !bytes.HasPrefix(text, []byte(key)) {
		i := bytes.Index(text, []byte("\n"+key))
		if i < 0 {
			return 0, false
		}
		text = text[i+1:]
	}
	return number(text[len(key):])
}

// number reads the digits that a text begins with.
func number(text []byte) (n int64, ok bool) {
	for _, c := range text {
		if c < '0' || c > '9' {
			break
		}
		n, ok = 10*n+int64(c-'0'), true
	}
	return n, ok
}

// total adds up the numbers that follow a key anywhere in a text.
func total(text []byte, key string) (sum int64) {
	for {
		i := bytes.Index(text, []byte(key))
		if i < 0 {
			return sum
		}
		text = text[i+len(key):]
		n, _ := number(text)
		sum += n
	}
}

// numbers returns those of a text with one a line.
func numbers(text []byte) (list []int) {
	for line := range bytes.Lines(text) {
		if n, ok := number(line); ok {
			list = append(list, int(n))
		}
	}
	return list
}
