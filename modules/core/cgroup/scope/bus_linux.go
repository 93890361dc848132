package scope

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/idmap"
)

// org.freedesktop.systemd1(5)
const (
	managerName      = "org.freedesktop.systemd1"
	managerPath      = "/org/freedesktop/systemd1"
	managerInterface = "org.freedesktop.systemd1.Manager"
	scopeInterface   = "org.freedesktop.systemd1.Scope"
	unitInterface    = "org.freedesktop.systemd1.Unit"
)

// peer is a manager that can be connected to.
type peer struct {
	user bool
	uid  uint32 // ours, as the manager sees it
	// bus is the socket of the message bus that it is on. Its own, which it has
	// even without a bus, is what systemctl uses.
	bus, private string
}

func (p peer) name() string {
	if p.user {
		return fmt.Sprintf("the manager of user %d", p.uid)
	}
	return "the system's manager"
}

// callersPeer is the manager of who calls.
func callersPeer() (peer, error) {
	p := peer{uid: uint32(os.Geteuid())}
	if idmap.Confined() {
		own, err := idmap.Own()
		if err == nil {
			p.uid, _, err = own.Host(p.uid, 0)
		}
		if err != nil {
			return p, &Error{Op: "connect to", Unit: p.name(), Err: err}
		}
	}
	p.user = p.uid != 0
	if !Booted() {
		return p, &Error{Op: "connect to", Unit: p.name(), Err: fmt.Errorf("%w: systemd does not run this machine", ErrNoManager)}
	}
	if !p.user {
		p.bus, p.private = "/run/dbus/system_bus_socket", "/run/systemd/private"
		return p, nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" { // su and sudo lose it
		dir = filepath.Join("/run/user", strconv.FormatUint(uint64(p.uid), 10))
	}
	p.bus, p.private = filepath.Join(dir, "bus"), filepath.Join(dir, "systemd", "private")
	return p, nil
}

// conn is a connection to a manager.
type conn struct {
	bus     *dbus.Conn
	manager dbus.BusObject
	signals chan *dbus.Signal
}

// connect connects to the manager through its bus, or without one directly. The
// connection ends with ctx.
func (p peer) connect(ctx context.Context) (*conn, error) {
	c, err := p.dial(ctx, p.bus, true)
	if absent(err) {
		c, err = p.dial(ctx, p.private, false)
	}
	if absent(err) {
		err = fmt.Errorf("%w: %w", ErrNoManager, err)
		if p.user {
			err = fmt.Errorf("%w; it runs while the user is logged in, or after: loginctl enable-linger", err)
		}
	}
	if err != nil {
		return nil, &Error{Op: "connect to", Unit: p.name(), Err: err}
	}
	return c, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTDIR)
}

func (p peer) dial(ctx context.Context, socket string, isBus bool) (_ *conn, err error) {
	bus, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	c := &conn{bus: bus, signals: make(chan *dbus.Signal, 16)}
	defer func() {
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err() // it closed the connection
			}
			c.close()
			err = fmt.Errorf("%s: %w", socket, err)
		}
	}()
	// The number is not sent: the other side asks the kernel, which translates
	// it where one side is in a user namespace.
	if err := bus.Auth([]dbus.Auth{dbus.AuthExternal(strconv.FormatUint(uint64(p.uid), 10))}); err != nil {
		return nil, err
	}
	bus.Signal(c.signals)
	c.manager = bus.Object(managerName, managerPath)
	if !isBus {
		return c, nil
	}
	if err := bus.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.Hello", 0).Err; err != nil {
		return nil, err
	}
	return c, bus.AddMatchSignalContext(ctx, dbus.WithMatchSender(managerName), dbus.WithMatchObjectPath(managerPath),
		dbus.WithMatchInterface(managerInterface), dbus.WithMatchMember("JobRemoved"))
}

// close ends the connection; nothing that was said can be lost by that.
func (c *conn) close() { _ = c.bus.Close() }

// start starts a transient unit and waits until systemd is done with it.
func (c *conn) start(ctx context.Context, unit string, properties []property) error {
	type auxiliary struct { // units to make along with it
		Name       string
		Properties []property
	}
	var job dbus.ObjectPath
	err := c.call(ctx, "StartTransientUnit", []any{unit, "fail", properties, []auxiliary{}}, &job)
	if err != nil {
		return err
	}
	for {
		select {
		case s, open := <-c.signals:
			if !open {
				return errors.New("the connection ended before the unit was started")
			}
			// JobRemoved(id, job, unit, result)
			if s.Name != managerInterface+".JobRemoved" || len(s.Body) != 4 || s.Body[1] != job {
				continue
			}
			if s.Body[3] != "done" {
				return fmt.Errorf("its job ended with %q; see: journalctl -u %s", s.Body[3], unit)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("wait for its job: %w", ctx.Err())
		}
	}
}

// errEnding is what join returns when there is no living scope to join.
var errEnding = errors.New("the unit is ending")

// join moves processes into the leaf of a scope that exists.
func (c *conn) join(ctx context.Context, unit, mount string, pids []int) error {
	var path dbus.ObjectPath
	if err := c.call(ctx, "GetUnit", []any{unit}, &path); err != nil {
		return ending(err)
	}
	var state, group string
	if err := c.property(ctx, path, unitInterface, "ActiveState", &state); err != nil {
		return ending(err)
	}
	if err := c.property(ctx, path, scopeInterface, "ControlGroup", &group); err != nil {
		return ending(err)
	}
	if state == "failed" {
		// It would stay where an administrator collects only what did not fail.
		return ending(errors.Join(errEnding, c.call(ctx, "ResetFailedUnit", []any{unit})))
	}
	if state != "active" || group == "" {
		return errEnding
	}
	leaf := filepath.Join(mount, group, cgroup.Leaf)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return ending(err)
	}
	// Only systemd may take a process out of a cgroup that is not its user's.
	return ending(c.call(ctx, "AttachProcessesToUnit", []any{unit, "/" + cgroup.Leaf, ids(pids)}))
}

// ending makes those errors errEnding that say that a unit ended meanwhile.
func ending(err error) error {
	if isError(err, "NoSuchUnit") || isError(err, "ScopeNotRunning") || errors.Is(err, fs.ErrNotExist) ||
		isError(err, "org.freedesktop.DBus.Error.UnknownObject") {
		return fmt.Errorf("%w: %w", errEnding, err)
	}
	return err
}

// call calls a method of the manager.
func (c *conn) call(ctx context.Context, method string, args []any, results ...any) error {
	call := c.manager.CallWithContext(ctx, managerInterface+"."+method, 0, args...)
	if call.Err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("wait for an answer: %w", ctx.Err())
		}
		return call.Err
	}
	return call.Store(results...)
}

// property reads a property of one of the manager's objects.
func (c *conn) property(ctx context.Context, path dbus.ObjectPath, iface, name string, value *string) error {
	object := c.bus.Object(c.manager.Destination(), path)
	var v dbus.Variant
	if err := object.CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, iface, name).Store(&v); err != nil {
		return fmt.Errorf("property %s: %w", name, err)
	}
	return v.Store(value)
}

// isError tells whether an error is an answer with that name; without a dot one
// of systemd's own.
func isError(err error, name string) bool {
	if !strings.Contains(name, ".") {
		name = managerName + "." + name
	}
	var e dbus.Error
	return errors.As(err, &e) && e.Name == name
}
