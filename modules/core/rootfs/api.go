package rootfs

import (
	"errors"
	"os"
)

// Folder opens the file or folder at a host path as a detached mount. The
// caller closes it.
func Folder(path string, bind Bind) (*os.File, error) { return nil, errors.ErrUnsupported }

// Clone makes a detached mount of an open file or folder, which may be opened
// with O_PATH. What is mounted is exactly what f refers to: it was checked by
// whoever opened it, and no path is looked up again. The caller keeps f and
// closes the result.
func Clone(f *os.File, bind Bind) (*os.File, error) { return nil, errors.ErrUnsupported }

// Tmpfs makes an empty tmpfs as a detached mount, with options of tmpfs(5)
// such as "size=64m" and "mode=1777". The caller closes it.
func Tmpfs(options []string, flags Flags) (*os.File, error) { return nil, errors.ErrUnsupported }

// Dev makes a tmpfs for /dev as a detached mount: the nodes null, zero, full,
// random, urandom and tty, the links fd, stdin, stdout, stderr and ptmx, and
// the folders pts, shm and mqueue. It needs CAP_MKNOD. The caller closes it.
func Dev(options []string, flags Flags) (*os.File, error) { return nil, errors.ErrUnsupported }

// Make writes the scaffold into dir, which must exist and be empty, for an
// image whose unpacked layers are given, lowest first. Targets are resolved in
// the image as it will be seen, so that a target below /var/run lands in /run
// where the image links one to the other. Folders that the image has too get
// the image's mode and owner, because the topmost layer's are the ones that
// count.
//
// With more than one layer it needs CAP_SYS_ADMIN.
func (s Scaffold) Make(dir string, layers []string) error { return errors.ErrUnsupported }

// LookupUser finds who spec means in the image whose root folder is given:
// "name", "uid", "name:group" or "uid:gid", any mix of them, or "" for root.
// Names come from the image's own /etc/passwd and /etc/group, which must be
// regular files inside the root; what is all digits is an id and never a name,
// at most 2147483647. Without a group, the user's primary group and all groups
// that list the user are taken.
//
// A name that is not there gives an error that matches [fs.ErrNotExist].
func LookupUser(root *os.File, spec string) (User, error) { return User{}, errors.ErrUnsupported }
