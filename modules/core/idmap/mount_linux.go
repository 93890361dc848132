package idmap

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Mount makes a detached mount show files with the owners that a user namespace
// maps theirs to: what belongs to root on disk belongs to root inside, and what
// is written by root inside is root's on disk. Owners that the namespace has no
// id for appear as nobody, and nobody can make files for them. recursive
// includes the mounts below it.
//
// mount is what open_tree(2) with OPEN_TREE_CLONE returns, never attached and
// not mapped before. A refusal is a *[MountError].
func Mount(mount, userNamespace *os.File, recursive bool) error {
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userNamespace.Fd())}
	err := unix.MountSetattr(int(mount.Fd()), "", flags, &attr)
	if err == nil {
		return nil
	}
	e := &MountError{Path: mount.Name(), Recursive: recursive, Err: err}
	var st unix.Statfs_t
	// EINVAL is what a file system answers that cannot do it.
	if errors.Is(err, unix.EINVAL) && unix.Fstatfs(int(mount.Fd()), &st) == nil {
		e.FileSystem, e.Since = describe(int64(st.Type)) //nolint:unconvert // the width of f_type differs by platform
	}
	return e
}

// mappable are the file systems of which it is known here whether, and since
// which Linux, their owners can be mapped.
var mappable = map[int64]struct{ name, since string }{
	unix.EXT4_SUPER_MAGIC:      {"ext4", "5.12"},
	unix.XFS_SUPER_MAGIC:       {"xfs", "5.12"},
	unix.MSDOS_SUPER_MAGIC:     {"fat", "5.12"},
	unix.BTRFS_SUPER_MAGIC:     {"btrfs", "5.15"},
	unix.F2FS_SUPER_MAGIC:      {"f2fs", "5.18"},
	unix.EROFS_SUPER_MAGIC_V1:  {"erofs", "5.19"},
	unix.SQUASHFS_MAGIC:        {"squashfs", "6.2"},
	unix.TMPFS_MAGIC:           {"tmpfs", "6.3"},
	unix.CEPH_SUPER_MAGIC:      {"ceph", "6.7"},
	unix.FUSE_SUPER_MAGIC:      {"fuse", "6.12"},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", ""},
	unix.NFS_SUPER_MAGIC:       {"nfs", ""},
	unix.V9FS_MAGIC:            {"9p", ""},
	unix.SMB_SUPER_MAGIC:       {"smb", ""},
	unix.SMB2_SUPER_MAGIC:      {"smb", ""},
	unix.CIFS_SUPER_MAGIC:      {"smb", ""},
	unix.PROC_SUPER_MAGIC:      {"proc", ""},
	unix.SYSFS_MAGIC:           {"sysfs", ""},
	unix.CGROUP2_SUPER_MAGIC:   {"cgroup2", ""},
}

func describe(magic int64) (name, since string) {
	if fs, ok := mappable[magic]; ok {
		return fs.name, fs.since
	}
	return fmt.Sprintf("type %#x", magic), ""
}
