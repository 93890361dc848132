// Package rootfs prepares what a container sees below "/": the mounts that
// every container gets, detached mounts for what is put over its root file
// system, a layer with mount points and generated files, and the image's own
// users.
//
//	root, err := rootfs.Folder("/srv/images/web", rootfs.Bind{Recursive: true})
//	defer root.Close()
//	user, err := rootfs.LookupUser(root, "www-data")
//	plan := rootfs.Default()
//	// sandbox.Launch attaches root and the plan's mounts in a new namespace
//
// A detached mount is a file descriptor of a mount that is in no mount
// namespace (open_tree(2), fsmount(2)). It can be attached once, with
// move_mount(2), and goes away with its last descriptor when it never was.
// Nothing in this package changes the caller's own mounts, and nothing in it
// follows a symbolic link out of a root: paths of an image are resolved with
// openat2(2) inside that image.
//
// Types and plans are portable. Functions that touch mounts need Linux 5.14
// and CAP_SYS_ADMIN; elsewhere their errors match [errors.ErrUnsupported].
// All functions are safe for concurrent use.
package rootfs

import (
	"io/fs"
	"os"

	"github.com/containust/containust/modules/core/idmap"
)

// Flags are properties of a mount, not of the file system behind it.
type Flags uint32

// The mount flags. See mount_setattr(2) for what each one means.
const (
	ReadOnly Flags = 1 << iota
	NoSuid
	NoDev
	NoExec
	NoSymlinks
	NoDirAtime

	// At most one of these. A new mount without them is RelAtime, that of a
	// folder keeps what the folder's mount has.
	RelAtime
	NoAtime
	StrictAtime
)

// Propagation says which mounts that appear in one place appear in others too,
// see mount_namespaces(7).
type Propagation uint8

// The kinds of propagation.
const (
	Private    Propagation = iota // none
	Slave                         // the mounts of the host's come, none goes
	Shared                        // both ways
	Unbindable                    // none, and it cannot be bound elsewhere
)

// TypeDev is the one [Mount] type that is not a file system type of the
// kernel: a tmpfs that already holds the standard devices, as [Dev] makes it.
const TypeDev = "dev"

// Mount is something attached over a root file system.
type Mount struct {
	// Target is an absolute path inside the root. It must exist there: see
	// [Scaffold]. Symbolic links in it are resolved inside the root.
	Target string

	// Source is a detached mount. Launching attaches it, so it serves for one
	// launch; the caller closes it afterwards. Nil: a new file system of Type.
	Source *os.File

	// Type is a file system type that is created in the container's own
	// namespaces ("proc", "sysfs", "cgroup2", "mqueue", "devpts", "tmpfs"), or
	// TypeDev. Ignored with a Source.
	Type string

	// Options are the file system's own ("mode=1777", "newinstance"); they
	// apply to a new file system only.
	Options []string

	// Flags apply to a new file system, and are added to a Source's own: to all
	// its mounts. Top are for its topmost mount alone.
	Flags, Top Flags

	// Propagation is of the mount and, with a Source, of all below it. A Source
	// that shall be Slave or Shared must have been opened so.
	Propagation Propagation
}

// Plan is what is mounted over a root file system, and what of it is hidden.
// It is inert but for the descriptors in its mounts.
type Plan struct {
	// Mounts are attached in order, so a later one may lie inside an earlier.
	Mounts []Mount

	// Devices are made in the mount of TypeDev, beside the standard ones.
	Devices []Device

	// Masked paths are hidden: files behind a null device, folders behind an
	// empty read-only file system. Paths that do not exist are passed over.
	Masked []string

	// ReadOnly paths are made read-only with all below them. Paths that do not
	// exist are passed over.
	ReadOnly []string
}

// Device is a node of a device, as mknod(2) makes it. Who may open it is said by
// its owner and mode alone.
type Device struct {
	Path         string // below /dev, without links: "/dev/net/tun"
	Block        bool   // a block device, not a character device
	Major, Minor uint32
	Mode         fs.FileMode // permission bits
	UID, GID     uint32      // on the host: see Spec.RootUID of sandbox
}

// Default returns what every container gets: /proc, /sys, /sys/fs/cgroup and
// /dev with what belongs below it, and the paths in /proc and /sys that tell
// about or change the whole machine masked or read-only. The lists are those
// of the OCI runtimes. The caller may change the result.
func Default() Plan {
	return Plan{
		Mounts: []Mount{
			{Target: "/proc", Type: "proc", Flags: NoSuid | NoDev | NoExec},
			{Target: "/sys", Type: "sysfs", Flags: ReadOnly | NoSuid | NoDev | NoExec},
			{Target: "/sys/fs/cgroup", Type: "cgroup2", Flags: ReadOnly | NoSuid | NoDev | NoExec},
			{Target: "/dev", Type: TypeDev, Flags: NoSuid | NoExec},
			{Target: "/dev/pts", Type: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}, Flags: NoSuid | NoExec},
			{Target: "/dev/shm", Type: "tmpfs", Options: []string{"mode=1777", "size=64m"}, Flags: NoSuid | NoDev | NoExec},
			{Target: "/dev/mqueue", Type: "mqueue", Flags: NoSuid | NoDev | NoExec},
		},
		Masked: []string{
			"/proc/acpi",
			"/proc/asound",
			"/proc/interrupts",
			"/proc/kcore",
			"/proc/keys",
			"/proc/latency_stats",
			"/proc/sched_debug",
			"/proc/scsi",
			"/proc/timer_list",
			"/proc/timer_stats",
			"/sys/devices/virtual/powercap",
			"/sys/firmware",
		},
		ReadOnly: []string{
			"/proc/bus",
			"/proc/fs",
			"/proc/irq",
			"/proc/sys",
			"/proc/sysrq-trigger",
		},
	}
}

// Bind says how a file or folder becomes a detached mount.
type Bind struct {
	ReadOnly  bool // with all mounts below, when Recursive
	Recursive bool // with the mounts below it
	Flags     Flags

	// Clear takes flags of the host's mounts away, before Flags are added.
	Clear Flags
	// Propagation other than Private needs a host's mount that is shared.
	Propagation Propagation
}

// File is a file that [Scaffold] writes.
type File struct {
	Path     string // absolute, inside the root
	Content  []byte
	Mode     fs.FileMode // permission bits
	UID, GID uint32      // inside
}

// Scaffold describes a generated layer that lies on top of an image's layers.
// With it the image needs no writable layer, nor any mount point of its own.
type Scaffold struct {
	// Dirs and MountFiles are targets of mounts: folders, and files that
	// another file is mounted over. What the image has is left as it is; what
	// is missing is made, with the folders above it.
	Dirs       []string
	MountFiles []string

	// Files have content. Each replaces what the image has at that path, a
	// symbolic link too.
	Files []File

	// IDs say which host ids the owners inside have on disk; an id that does
	// not exist inside becomes nobody's. The zero value: the same.
	IDs idmap.IDs
}

// User is who a container's process is.
type User struct {
	UID, GID uint32
	Groups   []uint32 // supplementary, without GID
	Home     string   // "/" when the image knows none
}
