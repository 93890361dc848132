package sandbox

import (
	"errors"
	"os"

	"github.com/containust/containust/modules/core/idmap"
)

// Namespaces are what a container is launched in: a user namespace with its
// maps, and the network namespace that it owns. No process is in them; they live
// as long as they are open here or a process has entered them.
//
// They can be made ahead of a launch, which then costs less, and a user
// namespace alone is what maps the owners of a mount: see idmap.Mount.
type Namespaces struct {
	User    *os.File
	Network *os.File // nil without PrepareOptions.Network

	ids idmap.IDs
}

// PrepareOptions choose what Prepare makes beside a user namespace.
type PrepareOptions struct {
	Network bool // a network namespace with a loopback interface that is down
}

// IDs are the maps of User.
func (n *Namespaces) IDs() idmap.IDs { return n.ids }

// Close closes both files. Twice is once.
func (n *Namespaces) Close() error {
	var err error
	for _, f := range []*os.File{n.User, n.Network} {
		if f == nil {
			continue
		}
		if e := f.Close(); !errors.Is(e, os.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}
