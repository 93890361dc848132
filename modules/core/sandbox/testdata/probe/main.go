// Command probe tells what a process sees and can do inside a container.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

type report struct {
	Args, Env  []string
	Dir        string
	Hostname   string
	UID, GID   int
	Groups     []int
	PID, SID   int
	Umask      int
	Files      map[string]string
	Namespaces map[string]string
	Status     map[string]string
	Mounts     []string
	Cgroup     string
	Limits     syscall.Rlimit
	Interfaces string
	Keyring    int
	IOPriority int
	Scheduler  struct {
		Size, Policy uint32
		Flags        uint64
		Nice         int32
		Priority     uint32
		_            [3]uint64
	}
	Boottime int64
}

func main() {
	switch filepath.Base(os.Args[0]) {
	case "probe":
		see()
	case "exit":
		code, _ := strconv.Atoi(os.Args[1])
		os.Exit(code)
	case "kill":
		n, _ := strconv.Atoi(os.Args[1])
		_ = syscall.Kill(os.Getpid(), syscall.Signal(n)) // pid 1 is spared what it did not ask for
		select {}
	case "wait":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		os.Exit(43)
	case "init":
		look()
	case "orphans":
		orphans(os.Args[1])
	case "orphan":
		_, _ = syscall.ForkExec("/bin/exit", []string{"exit", "0"}, nil) // nobody waits for it
	case "hear":
		hear()
	case "try":
		try(os.Args[1], os.Args[2:])
	case "peek":
		peek(os.Args[1], os.Args[2])
	case "call":
		for _, c := range os.Args[1:] {
			fmt.Printf("%s: %d\n", c, call(c))
		}
	case "tty":
		terminal()
	case "repeat":
		repeat(os.Args[1], os.Args[2])
	}
}

func see() {
	r := report{
		Args: os.Args, Env: os.Environ(),
		UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid(),
		Files: map[string]string{}, Namespaces: map[string]string{}, Status: map[string]string{},
	}
	r.Dir, _ = syscall.Getwd()
	r.Hostname, _ = os.Hostname()
	r.Groups, _ = os.Getgroups()
	r.Umask = syscall.Umask(0)
	sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	r.SID = int(sid)
	_ = syscall.Getrlimit(syscall.RLIMIT_CORE, &r.Limits)
	for fd := range 64 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil {
			r.Files[strconv.Itoa(fd)] = target
		}
	}
	names, _ := filepath.Glob("/proc/self/ns/*")
	for _, name := range names {
		r.Namespaces[filepath.Base(name)], _ = os.Readlink(name)
	}
	for line := range strings.Lines(read("/proc/self/status")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		r.Status[key] = strings.TrimSpace(value)
	}
	r.Mounts = strings.Split(strings.TrimSpace(read("/proc/self/mountinfo")), "\n")
	r.Cgroup = read("/proc/self/cgroup")
	r.Interfaces = read("/proc/net/dev")
	keyring, _, _ := syscall.RawSyscall(syscall.SYS_KEYCTL, 0, ^uintptr(2), 0) // of this session
	r.Keyring = int(keyring)
	priority, _, _ := syscall.RawSyscall(syscall.SYS_IOPRIO_GET, 1, 0, 0)
	r.IOPriority = int(priority)
	_, _, _ = syscall.RawSyscall6(sysSchedGetattr, 0, uintptr(unsafe.Pointer(&r.Scheduler)), unsafe.Sizeof(r.Scheduler), 0, 0, 0)
	var now syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 7, uintptr(unsafe.Pointer(&now)), 0)
	r.Boottime = now.Sec
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

func read(name string) string {
	b, _ := os.ReadFile(name)
	return string(b)
}

// look tells about process 1.
func look() {
	fmt.Printf("%s %q", strings.TrimSpace(read("/proc/1/comm")), read("/proc/1/cmdline"))
	files, err := os.ReadDir("/proc/1/fd")
	for _, f := range files {
		fmt.Print(" ", f.Name())
	}
	fmt.Println("", err)
	fmt.Println(os.Getpid(), syscall.Getpgrp())
	fmt.Println(os.Chmod("/proc/1/exe", 0o777))
	f, err := os.OpenFile("/proc/1/exe", os.O_WRONLY, 0)
	fmt.Println(err)
	if err == nil {
		f.Close()
	}
}

// hear prints the number of each signal that it gets.
func hear() {
	c := make(chan os.Signal, 64)
	signal.Notify(c)
	fmt.Println("ready")
	for sig := range c {
		fmt.Println(int(sig.(syscall.Signal)))
	}
}

// orphans makes processes that lose their parent and end, and prints how many
// zombies are left of them.
func orphans(count string) {
	n, _ := strconv.Atoi(count)
	for range n {
		pid, err := syscall.ForkExec("/bin/orphan", []string{"orphan"}, nil)
		if err == nil {
			_, err = syscall.Wait4(pid, nil, 0, nil)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	// All that is no zombie is process 1 and this one, then. Who waits for the
	// zombies gets some time.
	zombies, first := 0, time.Now()
	for alive := true; alive || zombies > 0 && time.Since(first) < time.Second; time.Sleep(10 * time.Millisecond) {
		zombies, alive = 0, false
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			stat := read(dir + "/stat")
			switch own := dir == fmt.Sprint("/proc/", os.Getpid()) || dir == "/proc/1"; {
			case strings.Contains(stat, ") Z "):
				zombies++
			case stat != "" && !own:
				alive, first = true, time.Now()
			}
		}
	}
	fmt.Println(zombies)
}

// try does one thing to each path and prints the errors, a line each.
func try(what string, paths []string) {
	for _, p := range paths {
		var err error
		switch what {
		case "write":
			var f *os.File
			if f, err = os.OpenFile(p, os.O_WRONLY|os.O_CREATE, 0o644); err == nil {
				f.Close()
			}
		case "read":
			var b []byte
			if b, err = os.ReadFile(p); err == nil {
				fmt.Printf("%s: %d bytes\n", p, len(b))
				continue
			}
		case "cat":
			var b []byte
			if b, err = os.ReadFile(p); err == nil {
				fmt.Printf("%s: %s\n", p, strings.TrimSpace(string(b)))
				continue
			}
		case "list":
			var entries []os.DirEntry
			if entries, err = os.ReadDir(p); err == nil {
				fmt.Printf("%s: %d entries\n", p, len(entries))
				continue
			}
		case "listen":
			var fd int
			if fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); err == nil {
				err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}})
			}
		case "owner":
			var info os.FileInfo
			if info, err = os.Lstat(p); err == nil {
				st := info.Sys().(*syscall.Stat_t)
				fmt.Printf("%s: %d %d %v\n", p, st.Uid, st.Gid, info.Mode())
				continue
			}
		case "mknod":
			err = syscall.Mknod(p, syscall.S_IFCHR|0o666, 1<<8|3)
		case "chown":
			err = os.Chown(p, 1, 1)
		}
		fmt.Printf("%s: %v\n", p, err)
	}
}

// call makes a system call, given by numbers as in "41,38,2", and returns its
// error. With "x86:" in front it is one of that architecture.
func call(text string) syscall.Errno {
	words, x86 := strings.CutPrefix(text, "x86:")
	var n [4]uintptr
	for i, word := range strings.Split(words, ",") {
		value, err := strconv.ParseUint(word, 0, 64)
		if err != nil || i >= len(n) {
			os.Exit(1)
		}
		n[i] = uintptr(value)
	}
	if !x86 {
		_, _, errno := syscall.RawSyscall(n[0], n[1], n[2], n[3])
		return errno
	}
	if result := int80(n[0], n[1], n[2], n[3]); result < 0 && result > -4096 {
		return syscall.Errno(-result)
	}
	return 0
}

// terminal tells about the terminal that the standard streams are.
func terminal() {
	for fd := range 3 {
		name, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		var st syscall.Stat_t
		if err := syscall.Fstat(fd, &st); err != nil {
			os.Exit(1)
		}
		var named syscall.Stat_t
		_ = syscall.Stat(name, &named) // its numbers are then zero
		fmt.Println(fd, name, "same:", named.Ino == st.Ino && named.Dev == st.Dev, "owner:", st.Uid, st.Gid, os.FileMode(st.Mode&0o777))
	}
	var size [4]uint16
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	fmt.Println("size:", size[0], size[1], errno)
	var group int32
	_, _, errno = syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&group)))
	sid, _, _ := syscall.RawSyscall(syscall.SYS_GETSID, 0, 0, 0)
	fmt.Println("foreground:", int(group) == syscall.Getpgrp(), "leader:", int(sid) == os.Getpid(), errno)
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	fmt.Println("/dev/tty:", err)
	if err == nil {
		f.Close()
	}
}

// repeat makes a system call, an argument in hexadecimal notation, many times.
func repeat(times, text string) {
	count, _ := strconv.Atoi(times)
	var number, arg uintptr
	if _, err := fmt.Sscanf(text, "%d,0x%x", &number, &arg); err != nil {
		os.Exit(1)
	}
	for range count {
		_, _, _ = syscall.RawSyscall(number, arg, 0, 0)
	}
}

// peek opens the memory of every process that it finds until it is told to stop,
// and says when one has the word at the address, both as hexadecimal numbers, or
// is of another program. At last it says whether it got to see any at all.
func peek(address, word string) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	at, _ := strconv.ParseInt(address, 16, 64)
	secret, _ := strconv.ParseUint(word, 16, 64)
	fmt.Println("ready")
	self, _ := os.Readlink("/proc/self/exe")
	saw := false
	for {
		select {
		case <-c:
			fmt.Println("done, saw others:", saw)
			return
		default:
		}
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			f, err := os.OpenFile(dir+"/mem", os.O_RDWR, 0)
			if err != nil {
				continue
			}
			// What was opened stays that memory, whatever the process runs by now.
			var b [8]byte
			if n, _ := f.ReadAt(b[:], at); n == len(b) && binary.NativeEndian.Uint64(b[:]) == secret {
				fmt.Println("read the caller's memory")
			}
			if exe, err := os.Readlink(dir + "/exe"); err == nil && exe != self && !strings.HasPrefix(exe, "/bin/") {
				fmt.Println("opened the memory of", exe)
			}
			saw = saw || filepath.Base(dir) != "1"
			f.Close()
		}
	}
}
