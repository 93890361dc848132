// Command probe is what runs in the containers of the suite. With "checklist"
// it tries what somebody tries who wants out, and prints what came of it. It
// changes nothing, also where it may: clocks are set to what they are, files are
// opened and not written, and calls that would take effect get arguments that
// cannot.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(what string, args []string) error {
	switch what {
	case "nothing":
		return nil
	case "wait":
		wait()
		return nil
	case "checklist":
		for _, i := range checklist() {
			fmt.Printf("%s\t%s\n", i.what, i.result())
		}
		return nil
	case "see":
		return see()
	case "read": // FILE
		text, err := os.ReadFile(args[0])
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		return err
	case "write": // FILE WORD
		return os.WriteFile(args[0], []byte(args[1]), 0o644)
	case "link": // TARGET FILE: in place of what is there
		return errors.Join(os.RemoveAll(args[1]), os.Symlink(args[0], args[1]))
	case "connect": // SOCKET
		c, err := net.Dial("unix", args[0])
		if err == nil {
			err = c.Close()
		}
		return err
	case "swap": // A B: until it is ended
		fmt.Println("ready")
		for {
			_ = unix.Renameat2(unix.AT_FDCWD, args[0], unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE)
		}
	case "listen": // ADDRESS
		l, err := net.Listen("tcp", args[0])
		if err == nil {
			wait()
			err = l.Close()
		}
		return err
	case "hunt":
		return hunt()
	case "entry": // UID GID FOLDER…
		return entry(args)
	}
	return fmt.Errorf("%s?", what)
}

func wait() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	fmt.Println("ready")
	<-ended
}

// An item is one thing to try. Nil is success.
type item struct {
	what string
	try  func() error
}

// outcome is an error that is the result itself.
type outcome string

func (o outcome) Error() string { return string(o) }

func (i item) result() string {
	err := i.try()
	var errno syscall.Errno
	var said outcome
	switch {
	case err == nil:
		return "possible"
	case errors.As(err, &said):
		return string(said)
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func call(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func socket(family, kind, protocol int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind, protocol)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

func open(name string, flags int) func() error {
	return func() error {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

// locked opens for writing what only the machine's root may write. Why it is
// refused differs: not every kernel has each file, and some are read-only too.
func locked(name string) func() error {
	return func() error {
		err := open(name, unix.O_WRONLY)()
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
			return outcome("refused")
		}
		return err
	}
}

// hidden reads what must be empty, or is not there in the first place.
func hidden(name string) func() error {
	return func() error {
		info, err := os.Stat(name)
		var entries []fs.DirEntry
		var text []byte
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return outcome("empty")
		case err != nil:
			return err
		case info.IsDir():
			entries, err = os.ReadDir(name)
		default:
			var f *os.File
			if f, err = os.Open(name); err == nil {
				text, err = io.ReadAll(io.LimitReader(f, 1))
				err = errors.Join(err, f.Close())
			}
		}
		if err == nil && len(entries)+len(text) == 0 {
			return outcome("empty")
		}
		return err
	}
}

// others looks for processes that do not run this program.
func others() error {
	mine, err := os.Stat(self)
	if err != nil {
		return err
	}
	names, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || !os.SameFile(info, mine) {
			return err
		}
	}
	return outcome("none")
}

func shows(name string) func() error {
	return func() error {
		text, err := os.ReadFile(name)
		if err == nil && len(text) == 0 {
			return outcome("empty")
		}
		return err
	}
}

// child starts this program once more.
func child(attr *syscall.SysProcAttr, program string) error {
	cmd := exec.Command(program, "nothing")
	cmd.SysProcAttr = attr
	return cmd.Run()
}

const self = "/proc/self/exe"

// scratch is a file of one's own for what is tried on files.
func scratch(try func(name string) error) func() error {
	return func() error {
		f, err := os.CreateTemp("/tmp", "probe")
		if err != nil {
			return err
		}
		return errors.Join(try(f.Name()), f.Close(), os.Remove(f.Name()))
	}
}

// raised tries to have more capabilities than now.
func raised() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	all := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
	return unix.Capset(&header, &all[0])
}

func tracedChild() error {
	cmd := exec.Command(self, "nothing")
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(cmd.Process.Pid, &status, 0, nil); err != nil {
		return err
	}
	if !status.Stopped() {
		return outcome("not stopped")
	}
	err := unix.Kill(cmd.Process.Pid, unix.SIGKILL)
	_, waitErr := unix.Wait4(cmd.Process.Pid, &status, 0, nil)
	return errors.Join(err, waitErr)
}

// see prints what a process gets, without what differs from one to the next.
func see() error {
	var b bytes.Buffer
	groups, err := os.Getgroups()
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "ids: %d %d %v\ndirectory: %s\n", os.Getuid(), os.Getgid(), groups, dir)
	for _, kv := range os.Environ() {
		fmt.Fprintln(&b, "environment:", kv)
	}
	// By number: a listing would open a file itself. Two are of the Go runtime.
	for fd := range 1024 {
		if target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)); err == nil && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			fmt.Fprintf(&b, "file %d: %s\n", fd, target)
		}
	}
	for _, name := range []string{"/proc/self/status", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups", "/proc/self/cgroup", "/proc/self/mountinfo"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			fmt.Fprintf(&b, "%s: %s", filepath.Base(name), line)
		}
	}
	names, err := filepath.Glob("/proc/self/ns/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		fmt.Fprintln(&b, "namespace:", target)
	}
	devices, err := filepath.Glob("/dev/*")
	if err != nil {
		return err
	}
	for _, name := range devices {
		var st unix.Stat_t
		if err := unix.Lstat(name, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "device: %s %o %d:%d of %d:%d\n", name, st.Mode, unix.Major(st.Rdev), unix.Minor(st.Rdev), st.Uid, st.Gid)
	}
	_, err = os.Stdout.Write(b.Bytes())
	return err
}

// hunt looks for programs and memory that are not the image's in all processes
// that it sees, until it is told to stop.
func hunt() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGTERM)
	fmt.Println("ready")
	mine, err := os.Stat(self)
	if err != nil {
		return err
	}
	for looks := 0; ; {
		select {
		case <-ended:
			fmt.Println("looks:", looks > 0)
			return nil
		default:
		}
		dirs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			looks++
			for _, name := range []string{dir + "/exe", dir + "/task/" + filepath.Base(dir) + "/exe"} {
				if info, err := os.Stat(name); err == nil && !os.SameFile(info, mine) {
					fmt.Println("found the program", info.Size(), whose(dir))
				}
				if f, err := os.OpenFile(name, os.O_WRONLY, 0); err == nil {
					fmt.Println("opened for writing", name)
					_ = f.Close()
				}
			}
			f, err := os.Open(dir + "/mem")
			if err != nil {
				continue
			}
			if info, err := os.Stat(dir + "/exe"); err == nil && !os.SameFile(info, mine) {
				fmt.Println("opened the memory of another program", info.Size(), whose(dir))
			}
			_ = f.Close()
		}
	}
}

// whose tells about a process what shows how it got here, where it may be read.
func whose(dir string) string {
	status, err := os.ReadFile(dir + "/status")
	call, callErr := os.ReadFile(dir + "/syscall")
	name, nameErr := os.Readlink(dir + "/exe")
	return fmt.Sprintf("%s %q: %q (%v) in the call %q", dir, name, status, errors.Join(err, callErr, nameErr), call)
}

// entry does what entry points of images do that start as root: folders are
// given to a user, then the process becomes that user and runs the program.
func entry(args []string) error {
	var uid, gid int
	if _, err := fmt.Sscan(args[0], &uid); err != nil {
		return err
	}
	if _, err := fmt.Sscan(args[1], &gid); err != nil {
		return err
	}
	for _, dir := range args[2:] {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chown(dir, uid, gid)); err != nil {
			return err
		}
	}
	if err := errors.Join(syscall.Setgroups([]int{gid}), syscall.Setgid(gid), syscall.Setuid(uid)); err != nil {
		return err
	}
	for _, dir := range args[2:] {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("mine"), 0o600); err != nil {
			return err
		}
	}
	return unix.Exec(self, []string{"probe", "see"}, os.Environ())
}
