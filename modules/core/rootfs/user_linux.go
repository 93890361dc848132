package rootfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LookupUser finds who spec means in the image whose root folder is given:
// "name", "uid", "name:group" or "uid:gid", any mix of them, or "" for root.
// Names come from the image's own /etc/passwd and /etc/group, which must be
// regular files inside the root; what is all digits is an id and never a name,
// at most 2147483647. Without a group, the user's primary group and all groups
// that list the user are taken.
//
// A name that is not there gives an error that matches [fs.ErrNotExist].
func LookupUser(root *os.File, spec string) (User, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" {
		if hasGroup {
			return User{}, fmt.Errorf("look up user %q: the user is missing before the colon", spec)
		}
		name = "0"
	}
	user, login, err := findUser(root, name)
	if err == nil && hasGroup {
		user.GID, err = findGroup(root, group)
	} else if err == nil && login != "" {
		err = user.addGroups(root, login)
	}
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", spec, err)
	}
	return user, nil
}

// findUser also returns the user's login name, or "" when the image has none
// for this id.
func findUser(root *os.File, name string) (user User, login string, err error) {
	user.Home = "/"
	id, isID, err := parseID(name)
	if err != nil {
		return User{}, "", err
	}
	user.UID = id
	found := false
	err = eachLine(root, "etc/passwd", func(fields []string) error {
		// name:password:uid:gid:comment:home:shell, see passwd(5)
		if found || len(fields) < 6 {
			return nil
		}
		uid, ok, err := parseID(fields[2])
		if matches := fields[0] == name && !isID || isID && ok && uid == id; !matches {
			return nil
		}
		gid, okGID, errGID := parseID(fields[3])
		if err := errors.Join(err, errGID); err != nil || !ok || !okGID {
			return errors.Join(fmt.Errorf("the entry of %q has no valid ids", fields[0]), err)
		}
		user.UID, user.GID = uid, gid
		if strings.HasPrefix(fields[5], "/") {
			user.Home = fields[5]
		}
		login, found = fields[0], true
		return nil
	})
	if err == nil && !found && !isID {
		err = fmt.Errorf("no such user in the image's /etc/passwd: %w", fs.ErrNotExist)
	}
	return user, login, err
}

func findGroup(root *os.File, name string) (gid uint32, err error) {
	gid, isID, err := parseID(name)
	if err != nil || isID {
		return gid, err
	}
	found := false
	err = eachLine(root, "etc/group", func(fields []string) error {
		// name:password:gid:members, see group(5)
		if found || len(fields) < 3 || fields[0] != name {
			return nil
		}
		id, ok, err := parseID(fields[2])
		if err != nil || !ok {
			return errors.Join(fmt.Errorf("the entry of group %q has no valid id", name), err)
		}
		gid, found = id, true
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("no such group %q in the image's /etc/group: %w", name, fs.ErrNotExist)
	}
	return gid, err
}

// addGroups adds the groups that list the user as a member.
func (u *User) addGroups(root *os.File, login string) error {
	return eachLine(root, "etc/group", func(fields []string) error {
		if len(fields) < 4 || !slices.Contains(strings.Split(fields[3], ","), login) {
			return nil
		}
		gid, ok, err := parseID(fields[2])
		if err != nil || !ok {
			return errors.Join(fmt.Errorf("the entry of group %q has no valid id", fields[0]), err)
		}
		if gid != u.GID && !slices.Contains(u.Groups, gid) {
			u.Groups = append(u.Groups, gid)
		}
		return nil
	})
}

// parseID reads a word of digits. Other words are no id, and none is an error
// but one that is too large: taken as a name or cut to 32 bits it could become
// root's.
func parseID(word string) (id uint32, ok bool, err error) {
	if word == "" || strings.Trim(word, "0123456789") != "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(word, 10, 31)
	if err != nil {
		return 0, false, fmt.Errorf("the id %s is not between 0 and 2147483647", word)
	}
	return uint32(n), true, nil
}

// Bounds on what an image can make the caller read.
const (
	maxUserFile = 8 << 20
	maxUserLine = 64 << 10
)

// eachLine calls f with the colon-separated fields of each line of a file that
// may be missing.
func eachLine(root *os.File, path string, f func(fields []string) error) error {
	file, err := openIn(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	limited := &io.LimitedReader{R: file, N: maxUserFile + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxUserLine)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(strings.Split(line, ":")); err != nil {
			return fmt.Errorf("/%s: %w", path, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("/%s: %w", path, err)
	}
	if limited.N == 0 {
		return fmt.Errorf("/%s: larger than %d bytes", path, maxUserFile)
	}
	return nil
}

// openIn opens a regular file inside a root for reading. A FIFO or a device
// would block the caller, or do worse.
func openIn(root *os.File, path string) (*os.File, error) {
	at, err := resolveIn(root, path, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(at.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: "/" + path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("/%s is not a regular file", path)
	}
	// The magic link leads to the very file that was checked.
	return os.Open("/proc/self/fd/" + strconv.Itoa(int(at.Fd())))
}

// resolveIn opens a path inside a root, following links as the container would.
func resolveIn(root *os.File, path string, flags int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(root.Fd()), path, &how)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), path), nil
		case unix.EAGAIN, unix.EINTR:
			// EAGAIN: something on the machine was renamed or mounted while the
			// lookup went through a "..".
		default:
			return nil, &fs.PathError{Op: "open in the root", Path: path, Err: err}
		}
	}
}
