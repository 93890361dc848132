//go:build unix

package command

import (
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives a file that was written anew the owner that it had: root may
// format the files of others.
func keepOwner(path string, before fs.FileInfo) error {
	after, err := os.Lstat(path)
	if err != nil {
		return err
	}
	was, ok := before.Sys().(*syscall.Stat_t)
	is, ok2 := after.Sys().(*syscall.Stat_t)
	if !ok || !ok2 || was.Uid == is.Uid && was.Gid == is.Gid {
		return nil
	}
	return os.Lchown(path, int(was.Uid), int(was.Gid))
}
