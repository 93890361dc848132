package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/vm/initramfs"
)

// LoadModules loads the modules of a folder in the order that the file "order"
// in it gives; see initramfs.ModuleEntries. Those that are loaded stay so.
func LoadModules(folder string) error {
	order, err := os.ReadFile(filepath.Join(folder, initramfs.ModuleOrder))
	if err != nil {
		return fmt.Errorf("load kernel modules: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("load kernel module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

// mount is a file system of the kernel's.
type mount struct {
	kind, target string
	flags        uintptr
	data         string
}

const restricted = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// MountDevices mounts /proc, /sys and /dev, which loading modules and finding
// disks need.
func MountDevices() error {
	return mountAll([]mount{
		{"proc", "/proc", restricted, ""},
		{"sysfs", "/sys", restricted, ""},
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
	})
}

// MountKernel mounts what programs expect beside that: terminals, shared memory,
// /run, /tmp, and the control groups of version 2 with all controllers handed
// down.
func MountKernel() error {
	err := mountAll([]mount{
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
		{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"mqueue", "/dev/mqueue", restricted, ""},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"cgroup2", "/sys/fs/cgroup", restricted, ""},
	})
	if err != nil {
		return err
	}
	return handDownControllers("/sys/fs/cgroup")
}

func mountAll(mounts []mount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
		if err := unix.Mount(m.kind, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// handDownControllers enables in the groups below the root what the kernel has.
func handDownControllers(root string) error {
	list, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("enable cgroup controllers: %w", err)
	}
	for _, name := range strings.Fields(string(list)) {
		err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+"+name), 0)
		if err != nil {
			return fmt.Errorf("enable cgroup controller %s: %w", name, err)
		}
	}
	return nil
}

// diskPatience is how long a disk may take to appear after its driver is loaded.
const diskPatience = 10 * time.Second

// SwitchRoot mounts a disk and makes it the root file system of this process and
// those it starts; /proc, /sys and /dev move along. What the first root file
// system held is no longer reachable, and stays in memory.
func SwitchRoot(device, fsType string) error {
	const root = "/newroot"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	if err := waitFor(device); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	if err := unix.Mount(device, root, fsType, unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("switch root: mount %s: %w", device, err)
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			return fmt.Errorf("switch root: %w", err)
		}
		if err := unix.Mount(dir, root+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("switch root: move %s: %w", dir, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	// Moved over the first one and entered: the way that remains where
	// pivot_root is refused.
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("switch root: move the disk to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("switch root: %w", err)
	}
	return os.Chdir("/")
}

func waitFor(path string) error {
	for deadline := time.Now().Add(diskPatience); ; time.Sleep(5 * time.Millisecond) {
		_, err := os.Stat(path)
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			return err
		}
	}
}

// LinkUp brings a network interface up.
func LinkUp(name string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("bring up interface %s: %w", name, err)
		}
	}()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return err
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// OpenPort opens the machine's end of a port of qemu.Spec. Writing waits until
// the host listens. The caller closes it.
func OpenPort(name string) (*os.File, error) {
	for deadline := time.Now().Add(diskPatience); ; time.Sleep(5 * time.Millisecond) {
		names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
		if err != nil {
			return nil, fmt.Errorf("open port %q: %w", name, err)
		}
		for _, file := range names {
			text, err := os.ReadFile(file)
			if err == nil && strings.TrimSpace(string(text)) == name {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(file)), os.O_RDWR, 0)
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("open port %q: %w", name, fs.ErrNotExist)
		}
	}
}

// PowerOff writes what is not on the disks yet and switches the machine off. It
// returns only when that fails.
func PowerOff() error {
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		return fmt.Errorf("power off: %w", err)
	}
	return nil
}
