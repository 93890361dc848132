package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Resize changes how large a terminal is, whose master is given. The processes in
// its foreground get a SIGWINCH.
func Resize(master *os.File, size Terminal) error {
	conn, err := master.SyscallConn()
	if err != nil {
		return fmt.Errorf("sandbox: resize a terminal: %w", err)
	}
	control := conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	})
	if err := cmp.Or(control, err); err != nil {
		return fmt.Errorf("sandbox: resize a terminal: %w", err)
	}
	return nil
}

// A tty is what the terminal of an exec takes in the caller: the master is made
// inside the container and comes back through a pair of sockets.
type tty struct {
	spec *Terminal
	pts  *os.File // the container's devpts
	here *os.File // receives the master
	away *os.File // the child's end
}

// newTTY opens what the terminal takes; the table closes it.
func (t *table) newTTY(target *Process, spec *Terminal) (*tty, error) {
	pts, err := target.devpts()
	if err != nil {
		return nil, err
	}
	t.own(pts)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a pair of sockets: %w", err)
	}
	return &tty{
		spec: spec, pts: pts,
		here: t.own(os.NewFile(uintptr(pair[0]), "terminal")),
		away: t.own(os.NewFile(uintptr(pair[1]), "terminal")),
	}, nil
}

// devpts opens the folder of the process's terminals, and makes sure that it is
// one: in a devpts file system nobody makes, renames or removes a file, so
// "ptmx" in it is the device and nothing else, whatever the container did to
// its /dev.
func (p *Process) devpts() (*os.File, error) {
	const name = "/dev/pts"
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", p.pid), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	// A signal that can be sent proves that the id was the process's own.
	if err := p.Signal(0); err != nil {
		return nil, err
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd := -1
	for again := true; again; again = errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		fd, err = unix.Openat2(int(root.Fd()), name, &how)
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	pts := os.NewFile(uintptr(fd), name)
	var fs unix.Statfs_t
	err = unix.Fstatfs(fd, &fs)
	if err == nil && fs.Type != unix.DEVPTS_SUPER_MAGIC {
		err = errors.New("it is not what the container was started with; start it again, or run the command without a terminal")
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "use", Path: name, Err: err}, pts.Close())
	}
	return pts, nil
}

// terminal makes a terminal in the container, gives it to the user, and makes
// it the controlling one of a new session. It returns the end that the process
// gets.
func (t *table) terminal(y *tty, c *Command) (peer arg) {
	const name = "make a terminal"
	master := result(t.open(name, t.file(y.pts), "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK,
		unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV))
	unlock := t.bytes("\x00\x00\x00\x00")
	t.call(name, unix.SYS_IOCTL, master, number(unix.TIOCSPTLCK), unlock)
	size := unix.Winsize{Row: y.spec.Rows, Col: y.spec.Cols}
	t.call(name, unix.SYS_IOCTL, master, number(unix.TIOCSWINSZ), t.bytes(memory(&size)))
	// Not by its name, which somebody could have mounted something over.
	opened := result(t.call(name, unix.SYS_IOCTL, master, number(unix.TIOCGPTPEER), number(unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)))
	// Not one of the numbers that the standard streams will take.
	peer = result(t.call(name, unix.SYS_FCNTL, opened, number(unix.F_DUPFD_CLOEXEC), number(3)))
	// The group stays as the mount says it.
	t.call(name, unix.SYS_FCHOWN, peer, number(c.UID), number(^uint32(0)))

	const session = "start a session with the terminal"
	t.call(session, unix.SYS_SETSID)
	t.call(session, unix.SYS_IOCTL, peer, number(unix.TIOCSCTTY), number(0))

	// A message names a number that is known beforehand: that of the receiving
	// end, which only the caller needs.
	const send = "pass the terminal on"
	here := t.file(y.here)
	t.call(send, unix.SYS_DUP3, master, here, number(unix.O_CLOEXEC))
	t.call(send, unix.SYS_SENDMSG, t.file(y.away), t.rights(int(here.n)), number(unix.MSG_NOSIGNAL))
	return peer
}

// attach gives p the master that its child has sent. Where that fails it ends
// the process.
func (y *tty) attach(p *Process) error {
	master, err := y.receive()
	if err != nil {
		err = fmt.Errorf("sandbox: receive the terminal: %w", err)
		_ = p.Signal(unix.SIGKILL) // it may have ended by itself
		_, waitErr := p.Wait(context.Background())
		return errors.Join(err, waitErr, p.Close())
	}
	p.terminal = master
	return nil
}

func (y *tty) receive() (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(y.here.Fd()), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return os.NewFile(uintptr(fds[0]), "terminal"), nil
		}
	}
	return nil, unix.EBADMSG
}
