// Package namespace opens, creates, keeps, enters and compares Linux
// namespaces as open files.
//
//	ns, err := namespace.New(namespace.Network, nil)
//	if err != nil {
//		return err
//	}
//	defer ns.Close()
//	err = namespace.Do(ns, func() error {
//		_, err := os.Stat("/proc/sys/net/ipv4/conf/lo") // the new namespace's
//		return err
//	})
//
// A namespace lives as long as a process is in it, a file of it is open, or a
// bind mount holds it (see [Pin]).
//
// Platform: Linux; elsewhere every function returns an error that matches
// errors.ErrUnsupported. Privileges: CAP_SYS_ADMIN in the user namespace that
// owns the namespace, but for opening and comparing. All functions are safe for
// concurrent use.
package namespace

import "fmt"

// Kind names a kind of namespace as the folder /proc/<pid>/ns does.
type Kind string

// The kinds of namespaces. See namespaces(7).
const (
	Cgroup  Kind = "cgroup"
	IPC     Kind = "ipc"
	Mount   Kind = "mnt"
	Network Kind = "net"
	PID     Kind = "pid"
	User    Kind = "user"
	UTS     Kind = "uts"
)

// ID identifies a namespace on the running kernel. It is comparable; an inode
// number may be given again after its namespace has ended.
type ID struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// Error tells which operation on which namespace failed. Err is the cause:
// mostly a syscall.Errno.
type Error struct {
	Op     string // "open", "create", "separate", "enter", "leave", "pin", "unpin", "identify"
	Kind   Kind   // empty where it is not known
	Target string // a path, where there is one
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	s := "namespace: " + e.Op
	if e.Kind != "" {
		s += " " + string(e.Kind)
	}
	if e.Target != "" {
		s += " " + e.Target
	}
	return fmt.Sprintf("%s: %v", s, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
