package sdk

import (
	"fmt"
	"io"
	"os"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/plan"
)

// mounts adds a component's volumes and memory file systems, and returns what
// keeps them from being mounted.
func mounts(cfg *container.Config, c *stack.Component) (refusals []diag.Diagnostic) {
	for _, v := range c.Volumes {
		m := container.Mount{Kind: container.MountVolume, Source: v.Name, Target: v.Target, ReadOnly: v.ReadOnly}
		if v.Name == "" {
			m.Kind, m.Source = container.MountBind, v.HostPath
			if _, err := os.Stat(v.HostPath); err != nil {
				refusals = append(refusals, diag.Diagnostic{
					Code: FileMissing, Severity: diag.Error, Range: v.Range,
					Summary: fmt.Sprintf("the volume's host path cannot be used: %v", err),
					Detail:  "a host path is never created: make it first, or use a named volume (name:/path)",
				})
			}
		}
		cfg.Mounts = append(cfg.Mounts, m)
	}
	for _, t := range c.Tmpfs {
		cfg.Mounts = append(cfg.Mounts, container.Mount{Kind: container.MountTmpfs, Target: t.Target, Size: t.Size})
	}
	if len(c.Secrets) > 0 {
		cfg.Mounts = append(cfg.Mounts, container.Mount{Kind: container.MountTmpfs, Target: plan.SecretsDir, ReadOnly: true})
	}
	return refusals
}

// files returns a component's files and secrets: as they are, and as they may be shown; and
// those that cannot be read.
func files(c *stack.Component) (real, shown []container.File, refusals []diag.Diagnostic) {
	for _, f := range c.Files {
		content := []byte(f.Text.Value)
		if f.Source != "" {
			var err error
			if content, err = readSource(f.Source); err != nil {
				refusals = append(refusals, diag.Diagnostic{
					Code: FileMissing, Severity: diag.Error, Range: f.Range,
					Summary: fmt.Sprintf("the file for %s cannot be read: %v", f.Target, err),
					Detail:  "a relative path belongs to the folder of the file that wrote it",
				})
			}
		}
		one := container.File{Path: f.Target, Content: content, Mode: f.Mode}
		real = append(real, one)
		if f.Text.Secret() {
			one.Content = []byte(f.Text.Shown)
		}
		shown = append(shown, one)
	}
	for _, s := range c.Secrets {
		one := container.File{Path: plan.SecretsDir + "/" + s.Name, Content: []byte(s.Text.Value), Mode: 0o400}
		real = append(real, one)
		one.Content = []byte(s.Text.Shown)
		shown = append(shown, one)
	}
	return real, shown, refusals
}

// maxFile bounds a file that is copied, as the language bounds the texts in it.
const maxFile = 1 << 20

// readSource reads a file of the host that is copied into a component.
func readSource(path string) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		return nil, fmt.Errorf("%s is larger than 1 MiB: mount it as a volume", path)
	}
	return content, err
}

// unsupported finds what this version cannot do. It never ignores a setting.
func unsupported(c *stack.Component) (refusals []diag.Diagnostic) {
	for _, s := range []struct {
		property string
		set      bool
	}{
		{"egress", c.Egress != nil},
		{"distroless", c.Distroless != nil},
	} {
		if !s.set {
			continue
		}
		place, ok := c.Where[s.property]
		if !ok {
			place = c.Range
		}
		refusals = append(refusals, diag.Diagnostic{
			Code: NotInThisVersion, Severity: diag.Error, Range: place,
			Summary: fmt.Sprintf("%s is not in this version", s.property),
			Detail:  "it would have no effect, so it is refused; remove it to run the component without",
		})
	}
	return refusals
}

// NotInThisVersion is the code for settings of the language that the engine
// cannot carry out yet.
const NotInThisVersion diag.Code = "CT490"
