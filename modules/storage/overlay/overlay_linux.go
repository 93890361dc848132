package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/namespace"
)

// Mount makes the overlay and returns it as a detached mount, which the caller
// closes. It is nodev: devices come from a container's /dev, never from an
// image. A single layer without Upper gets an empty one below it, so that the
// mount is always an overlay: a bind mount could be made writable again. Errors
// are an [*Error].
func Mount(ctx context.Context, spec Spec) (*os.File, error) {
	if len(spec.Lower) == 0 {
		return nil, &Error{Op: "fsconfig", Option: "lowerdir", Err: errors.New("no layer")}
	}
	if (spec.Upper == "") != (spec.Work == "") {
		return nil, &Error{Op: "fsconfig", Option: "workdir", Err: errors.New("upper and work folder go together")}
	}
	if ctx.Err() != nil {
		return nil, &Error{Op: "fsopen", Err: context.Cause(ctx)}
	}
	// By version and not by trial: a refusal is a line in the kernel's log, at
	// each start.
	way := ways[slices.IndexFunc(ways, func(w way) bool { return kernelAtLeast(w.since[0], w.since[1]) })]
	// Before Linux 6.15 a layer that is a mount of its own must be attached, in
	// the mount namespace of who makes the overlay.
	single := len(spec.Lower) == 1 && spec.Upper == ""
	if kernelAtLeast(6, 15) || spec.User == nil && !single {
		return mount(spec, way, false)
	}
	var f *os.File
	err := namespace.InMount(func() (err error) {
		f, err = mount(spec, way, true)
		return err
	})
	return f, err
}

// ways are the forms in which a kernel takes layers, the best first.
var ways = []way{
	{"descriptors", [2]int{6, 13}, (*config).addByDescriptor},
	{"names", [2]int{6, 8}, (*config).addByName},
	{"list", [2]int{}, (*config).addByList},
}

type way struct {
	name  string
	since [2]int // the Linux version
	add   func(c *config, lower []*os.File, upper, work *os.File) error
}

// config is a file system that is being configured.
type config struct {
	fd int
}

// mount makes the overlay. attached: layers that are mounts of their own are
// attached, which nobody sees in the mount namespace that is meant for it.
func mount(spec Spec, way way, attached bool) (_ *os.File, err error) {
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, &Error{Op: "fsopen", Err: err}
	}
	defer unix.Close(fd)
	c := &config{fd: fd}

	var opened []*os.File
	defer func() {
		for _, f := range opened {
			f.Close()
		}
	}()
	open := func(option, path string) (*os.File, error) {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &Error{Op: "open", Option: option, Path: path, Err: err}
		}
		f := os.NewFile(uintptr(fd), path)
		opened = append(opened, f)
		return f, nil
	}
	openLower := func(layer Layer) (*os.File, error) {
		f, err := open("lowerdir", layer.Path)
		if err != nil || spec.User == nil || layer.Shifted {
			return f, err
		}
		f, err = mapped(f, spec.User)
		if err != nil {
			return nil, err
		}
		opened = append(opened, f)
		if attached {
			return f, attachHere(f)
		}
		return f, nil
	}

	var lower []*os.File // topmost first, as the kernel wants it
	for _, layer := range slices.Backward(spec.Lower) {
		f, err := openLower(layer)
		if err != nil {
			return nil, err
		}
		lower = append(lower, f)
	}
	var upper, work *os.File
	if spec.Upper != "" {
		if upper, err = open("upperdir", spec.Upper); err != nil {
			return nil, err
		}
		if work, err = open("workdir", spec.Work); err != nil {
			return nil, err
		}
	} else if len(lower) == 1 {
		empty, err := emptyLayer()
		if err != nil {
			return nil, err
		}
		opened = append(opened, empty)
		if attached {
			if err := attachHere(empty); err != nil {
				return nil, err
			}
		}
		lower = append(lower, empty)
	}

	// Attributes with which layers could redirect lookups or leave content out
	// are never obeyed, whatever the kernel's defaults.
	for _, option := range [][2]string{{"source", "overlay"}, {"metacopy", "off"}, {"redirect_dir", "nofollow"}} {
		if err := c.setString(option[0], option[1], nil); err != nil {
			return nil, err
		}
	}
	if idmap.Confined() {
		// Without power over the machine its notes go where a user may write
		// (Linux 5.11).
		if err := c.setFlag("userxattr"); err != nil {
			return nil, err
		}
	}
	if err := way.add(c, lower, upper, work); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, c.failCreate(spec, err)
	}
	attrs := unix.MOUNT_ATTR_NODEV
	if spec.ReadOnly || spec.Upper == "" {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, c.fail("fsmount", "", nil, err)
	}
	return os.NewFile(uintptr(mnt), "overlay"), nil
}

// mapped returns a mount of a layer that shows its files with the owners that a
// user namespace maps theirs to.
func mapped(layer, user *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(layer.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, &Error{Op: "open_tree", Option: "lowerdir", Path: layer.Name(), Err: err}
	}
	f := os.NewFile(uintptr(fd), layer.Name())
	if err := idmap.Mount(f, user, false); err != nil {
		return nil, errors.Join(&Error{Op: "mount_setattr", Option: "lowerdir", Err: err}, f.Close())
	}
	return f, nil
}

// attachHere puts a mount over the root of the thread's mount namespace, where no
// lookup of a path finds it.
func attachHere(mount *os.File) error {
	err := unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return &Error{Op: "move_mount", Option: "lowerdir", Path: mount.Name(), Err: err}
	}
	return nil
}

func (c *config) addByDescriptor(lower []*os.File, upper, work *os.File) error {
	for _, f := range lower {
		if err := c.setFile("lowerdir+", f); err != nil {
			return err
		}
	}
	if upper == nil {
		return nil
	}
	if err := c.setFile("upperdir", upper); err != nil {
		return err
	}
	return c.setFile("workdir", work)
}

func (c *config) addByName(lower []*os.File, upper, work *os.File) error {
	for _, f := range lower {
		if err := c.setString("lowerdir+", procPath(f), f); err != nil {
			return err
		}
	}
	return c.addUpperByName(upper, work)
}

func (c *config) addByList(lower []*os.File, upper, work *os.File) error {
	names := make([]string, len(lower))
	for i, f := range lower {
		names[i] = procPath(f)
	}
	if err := c.setString("lowerdir", strings.Join(names, ":"), nil); err != nil {
		return err
	}
	return c.addUpperByName(upper, work)
}

func (c *config) addUpperByName(upper, work *os.File) error {
	if upper == nil {
		return nil
	}
	if err := c.setString("upperdir", procPath(upper), upper); err != nil {
		return err
	}
	return c.setString("workdir", procPath(work), work)
}

// procPath names an open folder in a way that needs no escapes.
func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

func (c *config) setString(option, value string, about *os.File) error {
	return c.fail("fsconfig", option, about, unix.FsconfigSetString(c.fd, option, value))
}

func (c *config) setFlag(option string) error {
	return c.fail("fsconfig", option, nil, unix.FsconfigSetFlag(c.fd, option))
}

func (c *config) setFile(option string, f *os.File) error {
	return c.fail("fsconfig", option, f, unix.FsconfigSetFd(c.fd, option, int(f.Fd())))
}

func (c *config) fail(op, option string, about *os.File, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Option: strings.TrimSuffix(option, "+"), Message: c.messages(), Err: err}
	if about != nil {
		e.Path = about.Name()
	}
	return e
}

// messages reads what the kernel has to say about the configuration, such as
// "e overlay: maximum fs stacking depth exceeded".
func (c *config) messages() string {
	var messages []string
	for buf := make([]byte, 1024); ; {
		n, err := unix.Read(c.fd, buf)
		if err != nil || n <= 0 { // ENODATA: no more
			return join(messages...)
		}
		text := strings.TrimSpace(string(buf[:n]))
		if _, after, ok := strings.Cut(text, " "); ok { // "e", "w" or "i" for the level
			text = after
		}
		messages = append(messages, text)
	}
}

// failCreate says what is usually behind an errno: overlay writes its reasons
// to the kernel's log only.
func (c *config) failCreate(spec Spec, err error) error {
	e := &Error{Op: "fsconfig create", Message: c.messages(), Err: err}
	switch {
	case errors.Is(err, unix.EINVAL) && spec.User != nil && !kernelAtLeast(5, 19):
		e.Option = "lowerdir"
		e.Message = join(e.Message, "layers with mapped owners need Linux 5.19, and this is "+release())
	case errors.Is(err, unix.EINVAL) && spec.Upper != "":
		e.Option, e.Path = "upperdir", spec.Upper
		e.Message = join(e.Message, "upper and work must be separate folders of one file system, and not of an overlay, NFS or 9p")
	case errors.Is(err, unix.ELOOP):
		e.Option = "lowerdir"
		e.Message = join(e.Message, "a layer is given twice, or lies inside of another")
	}
	return e
}

func kernelAtLeast(wantMajor, wantMinor int) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release(), "%d.%d", &major, &minor); err != nil {
		return true // not known to be older
	}
	return major > wantMajor || major == wantMajor && minor >= wantMinor
}

func release() string {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "" // it fails for a bad address only
	}
	return unix.ByteSliceToString(uts.Release[:])
}

func join(messages ...string) string {
	return strings.Join(slices.DeleteFunc(messages, func(m string) bool { return m == "" }), "; ")
}

// emptyLayer returns an empty folder that exists nowhere else.
func emptyLayer() (*os.File, error) {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, &Error{Op: "fsopen tmpfs", Err: err}
	}
	defer unix.Close(fd)
	if err := unix.FsconfigCreate(fd); err != nil {
		return nil, &Error{Op: "fsconfig tmpfs", Err: err}
	}
	mnt, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, &Error{Op: "fsmount tmpfs", Err: err}
	}
	return os.NewFile(uintptr(mnt), "(empty layer)"), nil
}
