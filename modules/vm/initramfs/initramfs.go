// Package initramfs writes the archive that a Linux kernel unpacks as its first
// root file system, and picks a kernel's loadable modules for it.
//
//	kernel, err := initramfs.OpenModules(os.DirFS("lib/modules/6.1.0-56-cloud-amd64"))
//	modules, err := kernel.Resolve("virtio_blk", "overlay")
//	entries := append(initramfs.ModuleEntries(modules), initramfs.File("init", 0o755, program))
//	err = initramfs.Write(w, entries)
//
// The kernel unpacks archives that follow each other in one file as one: what is
// written here can be appended to an archive that somebody else made.
//
// Platform: every one, without privileges; device nodes are made by the kernel
// that unpacks. The same entries give the same bytes. Functions are safe for
// concurrent use.
package initramfs

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
)

// Entry is a file of an archive.
type Entry struct {
	// Path is where it is, without a slash at the beginning: fs.ValidPath.
	Path string
	// Mode is its type (regular, folder, symbolic link, device, named pipe), its
	// permissions and the set-id and sticky bits.
	Mode fs.FileMode
	// Content is that of a regular file, or the target of a link.
	Content []byte
	// UID and GID are its owner.
	UID, GID uint32
	// Major and Minor are the numbers of a device.
	Major, Minor uint32
}

// File is a regular file of root's.
func File(path string, perm fs.FileMode, content []byte) Entry {
	return Entry{Path: path, Mode: perm, Content: content}
}

// Folder is a folder of root's.
func Folder(path string, perm fs.FileMode) Entry {
	return Entry{Path: path, Mode: fs.ModeDir | perm}
}

// Link is a symbolic link.
func Link(path, target string) Entry {
	return Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Content: []byte(target)}
}

// CharDevice is a character device of root's, such as /dev/console, 5:1.
func CharDevice(path string, perm fs.FileMode, major, minor uint32) Entry {
	return Entry{Path: path, Mode: fs.ModeDevice | fs.ModeCharDevice | perm, Major: major, Minor: minor}
}

// Write writes an archive in the format "newc" of cpio
// (buffer-format.rst of the kernel), in the order of the paths. Folders that no
// entry names are made, with mode 0755 and root's. Time stamps are zero. A path
// that is not valid, that comes twice or whose parent is no folder is an error
// that matches fs.ErrInvalid, and nothing is written.
func Write(w io.Writer, entries []Entry) error {
	entries, err := complete(entries)
	if err != nil {
		return err
	}
	a := archive{w: bufio.NewWriter(w)}
	for i, entry := range entries {
		// The kernel takes equal numbers of files with several links for one
		// file; counting keeps them apart.
		a.entry(uint32(i+1), entry)
	}
	a.entry(0, Entry{Path: trailer})
	a.pad(blockSize)
	if err := errors.Join(a.err, a.w.Flush()); err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	return nil
}

const (
	magic   = "070701"
	trailer = "TRAILER!!!" // the name that ends an archive
	// blockSize is what cpio programs pad archives to; the kernel wants 4.
	blockSize = 512
)

// complete sorts the entries, adds the folders above them and checks them.
func complete(entries []Entry) ([]Entry, error) {
	known := make(map[string]fs.FileMode, len(entries))
	for _, e := range entries {
		if err := check(e); err != nil {
			return nil, fmt.Errorf("initramfs: %q: %w", e.Path, err)
		}
		if _, twice := known[e.Path]; twice {
			return nil, fmt.Errorf("initramfs: %q: %w: there twice", e.Path, fs.ErrInvalid)
		}
		known[e.Path] = e.Mode
	}
	all := slices.Clone(entries)
	for _, e := range entries {
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			mode, ok := known[dir]
			if ok && !mode.IsDir() {
				return nil, fmt.Errorf("initramfs: %q: %w: %q is not a folder", e.Path, fs.ErrInvalid, dir)
			}
			if !ok {
				folder := Folder(dir, 0o755)
				known[dir] = folder.Mode
				all = append(all, folder)
			}
		}
	}
	// By path, a folder comes before what is in it.
	slices.SortFunc(all, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func check(e Entry) error {
	if !fs.ValidPath(e.Path) || e.Path == "." || strings.ContainsRune(e.Path, 0) {
		return fmt.Errorf("%w: not a path below the root, without a slash at its beginning", fs.ErrInvalid)
	}
	if e.Path == trailer {
		return fmt.Errorf("%w: this name ends an archive", fs.ErrInvalid)
	}
	if _, ok := typeBits(e.Mode); !ok {
		return fmt.Errorf("%w: mode %v has no place in an archive", fs.ErrInvalid, e.Mode)
	}
	if len(e.Content) > 0 && !e.Mode.IsRegular() && e.Mode.Type() != fs.ModeSymlink {
		return fmt.Errorf("%w: content in what is neither a file nor a link", fs.ErrInvalid)
	}
	if int64(len(e.Content)) > math.MaxUint32 {
		return fmt.Errorf("%w: the format holds no file above 4 GiB", fs.ErrInvalid)
	}
	return nil
}

// An archive is being written; after the first error it writes nothing more.
type archive struct {
	w       *bufio.Writer
	written int64
	err     error
}

func (a *archive) entry(ino uint32, e Entry) {
	bits, _ := typeBits(e.Mode)
	links := uint32(1)
	if e.Mode.IsDir() {
		links = 2
	}
	if e.Path == trailer {
		bits = 0
	}
	var b strings.Builder
	b.WriteString(magic)
	for _, field := range []uint32{
		ino, bits | uint32(e.Mode.Perm()) | idBits(e.Mode), e.UID, e.GID, links,
		0, // modification time
		uint32(len(e.Content)),
		0, 0, // device that the file was on
		e.Major, e.Minor,
		uint32(len(e.Path) + 1),
		0, // check sum, of format "crc" only
	} {
		fmt.Fprintf(&b, "%08X", field)
	}
	b.WriteString(e.Path)
	b.WriteByte(0)
	a.write([]byte(b.String()))
	a.pad(4)
	a.write(e.Content)
	a.pad(4)
}

func (a *archive) write(p []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(p)
	a.written += int64(n)
	a.err = err
}

// pad writes zeros up to the next multiple of a size.
func (a *archive) pad(size int64) {
	if over := a.written % size; over != 0 {
		a.write(make([]byte, size-over))
	}
}

// typeBits returns the file type as stat(2) has it in st_mode.
func typeBits(mode fs.FileMode) (bits uint32, ok bool) {
	switch mode.Type() {
	case 0:
		return 0o100000, true
	case fs.ModeDir:
		return 0o040000, true
	case fs.ModeSymlink:
		return 0o120000, true
	case fs.ModeDevice:
		return 0o060000, true
	case fs.ModeDevice | fs.ModeCharDevice:
		return 0o020000, true
	case fs.ModeNamedPipe:
		return 0o010000, true
	}
	return 0, false
}

// idBits returns the set-id and sticky bits as chmod(2) has them.
func idBits(mode fs.FileMode) (bits uint32) {
	for bit, value := range map[fs.FileMode]uint32{
		fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000,
	} {
		if mode&bit != 0 {
			bits |= value
		}
	}
	return bits
}
