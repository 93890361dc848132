package initramfs_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"github.com/ulikunitz/xz"

	"github.com/containust/containust/modules/vm/initramfs"
)

// module makes an ELF object with a section .modinfo, as the kernel's build
// leaves one.
func module(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	const header, sectionHeader = 64, 64
	le := binary.LittleEndian
	b := make([]byte, header)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 1)  // relocatable
	le.PutUint16(b[18:], 62) // amd64
	le.PutUint32(b[20:], 1)  // version
	le.PutUint16(b[52:], header)
	le.PutUint16(b[58:], sectionHeader)
	le.PutUint16(b[60:], 3) // sections
	le.PutUint16(b[62:], 2) // the names'
	infoAt := len(b)
	b = append(b, info...)
	namesAt := len(b)
	b = append(b, names...)
	le.PutUint64(b[40:], uint64(len(b)))
	section := func(name, kind uint32, at, size int) {
		s := make([]byte, sectionHeader)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(at))
		le.PutUint64(s[32:], uint64(size))
		b = append(b, s...)
	}
	section(0, 0, 0, 0)
	section(1, 1, infoAt, len(info))
	section(10, 3, namesAt, len(names))
	return b
}

func gzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(content)
	require.NoError(t, errors.Join(err, w.Close()))
	return b.Bytes()
}

func xzipped(t *testing.T, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	require.NoError(t, err)
	_, err = w.Write(content)
	require.NoError(t, errors.Join(err, w.Close()))
	return b.Bytes()
}

func kernel(t *testing.T) fs.FS {
	plain := module("license=GPL\x00depends=\x00name=virtio\x00")
	ring := module("depends=virtio\x00")
	blk := module("alias=virtio:d00000002v*\x00depends=virtio-ring,virtio,crc32c\x00")
	return fstest.MapFS{
		"modules.builtin":                         {Data: []byte("kernel/lib/crc32c.ko\nkernel/fs/ext4/ext4.ko\n")},
		"kernel/drivers/virtio/virtio.ko":         {Data: plain},
		"kernel/drivers/virtio/virtio-ring.ko.gz": {Data: gzipped(t, ring)},
		"kernel/drivers/block/virtio_blk.ko.xz":   {Data: xzipped(t, blk)},
		"kernel/odd/a.ko":                         {Data: module("depends=b\x00")},
		"kernel/odd/b.ko":                         {Data: module("depends=a\x00")},
		"kernel/odd/bad.ko":                       {Data: []byte("text")},
		"kernel/odd/bare.ko":                      {Data: bytes.Replace(plain, []byte(".modinfo"), []byte(".nothing"), 1)},
		"kernel/odd/lost.ko":                      {Data: module("depends=nowhere\x00")},
		"kernel/odd/packed.ko.zst":                {Data: []byte("x")},
		"kernel/odd/cut.ko.gz":                    {Data: gzipped(t, plain)[:20]},
		"build/notes.kot":                         {Data: []byte("not a module")},
	}
}

func names(modules []initramfs.Module) []string {
	list := []string{}
	for _, m := range modules {
		list = append(list, m.Name)
	}
	return list
}

func TestResolve(t *testing.T) {
	k, err := initramfs.OpenModules(kernel(t))
	require.NoError(t, err)
	for _, test := range []struct {
		name string
		ask  []string
		want []string
	}{
		{"nothing", nil, []string{}},
		{"dependencies first, each once", []string{"virtio_blk", "virtio"}, []string{"virtio", "virtio_ring", "virtio_blk"}},
		{"asked for with a dash", []string{"virtio-blk"}, []string{"virtio", "virtio_ring", "virtio_blk"}},
		{"built in", []string{"ext4", "virtio"}, []string{"virtio"}},
		{"a circle ends", []string{"a"}, []string{"b", "a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := k.Resolve(test.ask...)
			require.NoError(t, err)
			require.Equal(t, test.want, names(got))
			for _, m := range got {
				require.Equal(t, "\x7fELF", string(m.Content[:4]), m.Name)
			}
		})
	}
	for _, test := range []struct {
		ask     string
		is      error
		message string
	}{
		{"none", fs.ErrNotExist, "kernel module none: this kernel has none"},
		{"lost", fs.ErrNotExist, "kernel module nowhere: this kernel has none"},
		{"packed", errors.ErrUnsupported, `kernel/odd/packed.ko.zst: compression ".zst"`},
		{"bad", nil, "kernel/odd/bad.ko: "},
		{"bare", nil, "not a kernel module"},
		{"cut", nil, "kernel/odd/cut.ko.gz: "},
		{"notes", fs.ErrNotExist, "kernel module notes"},
	} {
		t.Run(test.ask, func(t *testing.T) {
			got, err := k.Resolve("virtio", test.ask)
			require.ErrorContains(t, err, test.message)
			require.Nil(t, got)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
		})
	}
}

func TestNoKernel(t *testing.T) {
	_, err := initramfs.OpenModules(fstest.MapFS{})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestModuleEntries(t *testing.T) {
	entries := initramfs.ModuleEntries([]initramfs.Module{{"virtio", []byte("1")}, {"a", []byte("2")}})
	got := map[string]string{}
	for _, e := range entries {
		got[e.Path] = string(e.Content)
	}
	require.Equal(t, map[string]string{
		"lib/modules/virtio.ko": "1", "lib/modules/a.ko": "2", "lib/modules/order": "virtio.ko\na.ko\n",
	}, got)
}

// A module of any bytes is an error or a list, whatever it says about itself.
func FuzzResolve(f *testing.F) {
	f.Add(module("depends=other\x00"))
	f.Add(module("depends=,,fuzz,\x00depends"))
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, content []byte) {
		k, err := initramfs.OpenModules(fstest.MapFS{
			"modules.builtin": {}, "fuzz.ko": {Data: content}, "other.ko": {Data: module("depends=\x00")},
		})
		require.NoError(t, err)
		got, err := k.Resolve("fuzz")
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.Equal(t, "fuzz", got[len(got)-1].Name)
		require.Equal(t, content, got[len(got)-1].Content)
	})
}
