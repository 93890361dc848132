package initramfs

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/ulikunitz/xz"
)

// ModuleFolder is where ModuleEntries puts the modules, and ModuleOrder the file
// in it that names them, one a line, in the order to load them in.
const (
	ModuleFolder = "lib/modules"
	ModuleOrder  = "order"
)

// maxModule is how large a module may be when it is unpacked; the largest of a
// distribution's kernel have 20 MiB.
const maxModule = 128 << 20

// Modules are the loadable modules of one kernel.
type Modules struct {
	fsys    fs.FS
	paths   map[string]string // of the files, by the module's name
	builtin map[string]bool   // names of what the kernel has in itself
}

// Module is a loadable module.
type Module struct {
	Name    string // as lsmod lists it: with _ and never -
	Content []byte // an ELF object, no longer compressed
}

// OpenModules reads which modules a kernel has. The file system is that of the
// folder lib/modules/RELEASE as a kernel's package brings it; what depmod would
// add to it is not needed.
func OpenModules(fsys fs.FS) (*Modules, error) {
	m := &Modules{fsys: fsys, paths: map[string]string{}, builtin: map[string]bool{}}
	list, err := fs.ReadFile(fsys, "modules.builtin")
	if err != nil {
		return nil, fmt.Errorf("open kernel modules: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		name, _ := moduleName(strings.TrimSpace(line))
		m.builtin[name] = true
	}
	err = fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name, ok := moduleName(file); ok && d.Type().IsRegular() {
			m.paths[name] = file
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("open kernel modules: %w", err)
	}
	return m, nil
}

// moduleName returns the name of the module in a file such as
// kernel/net/virtio-net.ko.xz.
func moduleName(file string) (name string, ok bool) {
	name, compression, ok := strings.Cut(path.Base(file), ".ko")
	ok = ok && (compression == "" || strings.HasPrefix(compression, "."))
	return canonical(name), ok
}

// canonical returns a module's name as the kernel has it: to it - and _ are one.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }

// Resolve reads modules and all that they depend on, each once and after what it
// depends on. What the kernel has built in is left out. Names that the kernel
// does not know at all are an error that matches fs.ErrNotExist.
func (m *Modules) Resolve(names ...string) ([]Module, error) {
	var resolved []Module
	var problems []error
	seen := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		name = canonical(name)
		if seen[name] || m.builtin[name] {
			return
		}
		seen[name] = true
		module, depends, err := m.read(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("kernel module %s: %w", name, err))
			return
		}
		for _, other := range depends {
			add(other)
		}
		resolved = append(resolved, module)
	}
	for _, name := range names {
		add(name)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return resolved, nil
}

// read reads a module and the names of what it depends on.
func (m *Modules) read(name string) (Module, []string, error) {
	file, ok := m.paths[name]
	if !ok {
		return Module{}, nil, fmt.Errorf("this kernel has none: %w", fs.ErrNotExist)
	}
	packed, err := fs.ReadFile(m.fsys, file)
	if err != nil {
		return Module{}, nil, err
	}
	content, err := decompress(path.Ext(file), packed)
	if err != nil {
		return Module{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	depends, err := dependencies(content)
	if err != nil {
		return Module{}, nil, fmt.Errorf("%s: %w", file, err)
	}
	return Module{Name: name, Content: content}, depends, nil
}

// decompress unpacks a module by the end of its file's name.
func decompress(ext string, packed []byte) ([]byte, error) {
	var r io.Reader
	var err error
	switch ext {
	case ".ko":
		return packed, nil
	case ".gz":
		r, err = gzip.NewReader(bytes.NewReader(packed))
	case ".xz":
		r, err = xz.NewReader(bufio.NewReader(bytes.NewReader(packed)))
	default:
		return nil, fmt.Errorf("compression %q: %w; unpack it first", ext, errors.ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, maxModule+1))
	if err == nil && len(content) > maxModule {
		err = fmt.Errorf("more than %d MiB", maxModule>>20)
	}
	return content, err
}

// dependencies reads what a module says about itself in its section .modinfo,
// strings "key=value" that end with a zero: "depends" are the modules whose
// symbols it uses (Documentation/kbuild/modules.rst of the kernel).
func dependencies(module []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no section .modinfo: not a kernel module")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.SplitSeq(string(info), "\x00") {
		key, value, _ := strings.Cut(line, "=")
		if key == "depends" {
			names = append(names, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		}
	}
	return names, nil
}

// ModuleEntries puts modules, in the order to load them in, into an archive.
func ModuleEntries(modules []Module) []Entry {
	var entries []Entry
	var order strings.Builder
	for _, m := range modules {
		file := m.Name + ".ko"
		entries = append(entries, File(path.Join(ModuleFolder, file), 0o644, m.Content))
		order.WriteString(file + "\n")
	}
	return append(entries, File(path.Join(ModuleFolder, ModuleOrder), 0o644, []byte(order.String())))
}
