package initramfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/vm/initramfs"
)

// read unpacks an archive by the description of the format, and knows nothing of
// the writer. Names are as they come.
func read(archive []byte) (entries []map[string]uint64, names []string, contents [][]byte, err error) {
	fields := []string{"ino", "mode", "uid", "gid", "links", "mtime", "size", "devmajor", "devminor", "major", "minor", "name", "check"}
	rest := archive
	take := func(n int) []byte {
		if n > len(rest) {
			err = io.ErrUnexpectedEOF
			n = len(rest)
		}
		taken := rest[:n]
		rest = rest[n:]
		return taken
	}
	align := func() { take((4 - (len(archive)-len(rest))%4) % 4) }
	for err == nil {
		if string(take(6)) != "070701" {
			return nil, nil, nil, errors.New("no magic number")
		}
		entry := map[string]uint64{}
		for _, field := range fields {
			n, parseErr := strconv.ParseUint(string(take(8)), 16, 32)
			if parseErr != nil {
				return nil, nil, nil, parseErr
			}
			entry[field] = n
		}
		name := take(int(entry["name"]))
		if len(name) == 0 || name[len(name)-1] != 0 {
			return nil, nil, nil, errors.New("no zero at the end of a name")
		}
		align()
		content := take(int(entry["size"]))
		align()
		if string(name) == "TRAILER!!!\x00" {
			if strings.Trim(string(rest), "\x00") != "" {
				return nil, nil, nil, errors.New("something after the end")
			}
			return entries, names, contents, err
		}
		entries, names, contents = append(entries, entry), append(names, string(name[:len(name)-1])), append(contents, content)
	}
	return nil, nil, nil, err
}

var sample = []initramfs.Entry{
	initramfs.Link("bin/sh", "busybox"),
	initramfs.File("bin/busybox", 0o755, []byte("program")),
	initramfs.CharDevice("dev/console", 0o600, 5, 1),
	initramfs.Folder("tmp", 0o777|fs.ModeSticky),
	{Path: "home/user/file", Mode: 0o644 | fs.ModeSetuid | fs.ModeSetgid, Content: []byte("x"), UID: 1000, GID: 100},
	{Path: "pipe", Mode: fs.ModeNamedPipe | 0o622},
	{Path: "dev/vda", Mode: fs.ModeDevice | 0o660, Major: 254, Minor: 16},
	initramfs.File("empty", 0o400, nil),
}

func TestWrite(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, initramfs.Write(&b, sample))
	require.Zero(t, b.Len()%512)
	entries, names, contents, err := read(b.Bytes())
	require.NoError(t, err)

	var got []string
	for i, e := range entries {
		require.EqualValues(t, i+1, e["ino"], "numbers tell files apart")
		require.Zero(t, e["mtime"])
		line := fmt.Sprintf("%o %d:%d %s", e["mode"], e["uid"], e["gid"], names[i])
		if e["major"] != 0 {
			line += fmt.Sprintf(" %d:%d", e["major"], e["minor"])
		}
		if e["size"] != 0 {
			line += " " + string(contents[i])
		}
		got = append(got, line)
	}
	require.Equal(t, []string{
		"40755 0:0 bin",
		"100755 0:0 bin/busybox program",
		"120777 0:0 bin/sh busybox",
		"40755 0:0 dev",
		"20600 0:0 dev/console 5:1",
		"60660 0:0 dev/vda 254:16",
		"100400 0:0 empty",
		"40755 0:0 home",
		"40755 0:0 home/user",
		"106644 1000:100 home/user/file x",
		"10622 0:0 pipe",
		"41777 0:0 tmp",
	}, got)
}

// The same entries in any order are the same bytes.
func TestDeterministic(t *testing.T) {
	var first, second bytes.Buffer
	require.NoError(t, initramfs.Write(&first, sample))
	reversed := []initramfs.Entry{}
	for _, e := range sample {
		reversed = append([]initramfs.Entry{e}, reversed...)
	}
	require.NoError(t, initramfs.Write(&second, reversed))
	require.Equal(t, first.Bytes(), second.Bytes())
}

func TestWrongEntries(t *testing.T) {
	for _, test := range []struct {
		name    string
		entries []initramfs.Entry
		message string
	}{
		{"slash at the beginning", []initramfs.Entry{initramfs.Folder("/bin", 0o755)}, `"/bin"`},
		{"leaves the root", []initramfs.Entry{initramfs.File("../x", 0o755, nil)}, `"../x"`},
		{"the root", []initramfs.Entry{initramfs.Folder(".", 0o755)}, `"."`},
		{"a zero", []initramfs.Entry{initramfs.Folder("a\x00b", 0o755)}, `"a\x00b"`},
		{"the end", []initramfs.Entry{initramfs.File("TRAILER!!!", 0o644, nil)}, "ends an archive"},
		{"twice", []initramfs.Entry{initramfs.File("a", 0o644, nil), initramfs.Folder("a", 0o755)}, "twice"},
		{"in a file", []initramfs.Entry{initramfs.File("a", 0o644, nil), initramfs.File("a/b/c", 0o644, nil)}, `"a" is not a folder`},
		{"a socket", []initramfs.Entry{{Path: "s", Mode: fs.ModeSocket}}, "mode"},
		{"a folder with content", []initramfs.Entry{{Path: "d", Mode: fs.ModeDir, Content: []byte("x")}}, "content"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			err := initramfs.Write(&b, test.entries)
			require.ErrorIs(t, err, fs.ErrInvalid)
			require.ErrorContains(t, err, test.message)
			require.Zero(t, b.Len())
		})
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrorIsTold(t *testing.T) {
	require.ErrorContains(t, initramfs.Write(full{}, sample), "write initramfs: disk full")
}

// The program cpio reads it as we do.
func TestCpio(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("needs cpio")
	}
	entries := []initramfs.Entry{}
	for _, e := range sample {
		if e.Mode.Type()&fs.ModeDevice == 0 && e.UID == 0 { // the others need root
			entries = append(entries, e)
		}
	}
	var b bytes.Buffer
	require.NoError(t, initramfs.Write(&b, entries))
	dir := t.TempDir()
	cmd := exec.Command(cpio, "--extract", "--quiet", "--no-preserve-owner")
	cmd.Dir, cmd.Stdin = dir, &b
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var got []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		got = append(got, info.Mode().String()+" "+name)
		return err
	}))
	require.Equal(t, []string{
		"drwxr-xr-x bin", "-rwxr-xr-x bin/busybox", "Lrwxrwxrwx bin/sh", "-r-------- empty", "prw--w--w- pipe", "dtrwxrwxrwx tmp",
	}, got)
}

// What Write accepts is read back as it was.
func FuzzWrite(f *testing.F) {
	f.Add("bin/sh", uint32(0o755), []byte("content"), "bin")
	f.Add("a", uint32(fs.ModeSymlink|0o777), []byte("b"), "a/b")
	f.Add("../x", uint32(fs.ModeDir), []byte{}, "y")
	f.Fuzz(func(t *testing.T, path string, mode uint32, content []byte, other string) {
		entries := []initramfs.Entry{
			{Path: path, Mode: fs.FileMode(mode), Content: content},
			initramfs.Folder(other, 0o700),
		}
		var b bytes.Buffer
		if initramfs.Write(&b, entries) != nil {
			require.Zero(t, b.Len())
			return
		}
		_, names, contents, err := read(b.Bytes())
		require.NoError(t, err)
		require.IsIncreasing(t, names)
		found := false
		for i, name := range names {
			require.True(t, fs.ValidPath(name), "%q", name)
			if name == path {
				found = true
				require.Equal(t, string(content), string(contents[i]))
			}
		}
		require.True(t, found)
	})
}
