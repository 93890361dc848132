package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/sdk/state"
)

// A container has a range of host ids for its life, kept in its record. What it
// wrote to its root file system belongs to that range also when the container
// is created anew, so a writable layer says whose ids it has, and comes back
// only with these.

// layerIDs is what lies beside a writable layer, in lastingDir/ids.json.
type layerIDs struct {
	First uint32 `json:"first"`
}

// reserveIDs finds the first host id of a new container.
func (b *Backend) reserveIDs(ctx context.Context, cfg container.Config) (uint32, error) {
	if cfg.ReadOnly || b.ids.shared != nil {
		return b.ids.Allocate(ctx, cfg.Name)
	}
	first, ok, err := b.layerFirst(cfg.Name)
	if err != nil {
		return 0, err
	}
	if !ok {
		return b.ids.Allocate(ctx, cfg.Name)
	}
	return first, b.claimLayer(ctx, cfg.Name, first)
}

// claimLayer takes the ids that a container's writable layer has. Giving the
// files to others could take long, would have to be undone when it is
// interrupted half-way, and is never done unasked.
func (b *Backend) claimLayer(ctx context.Context, name string, first uint32) error {
	err := b.ids.Claim(ctx, name, first, false)
	var taken *idmap.TakenError
	if errors.As(err, &taken) {
		return fmt.Errorf("the files that %s wrote have its ids, and %w: end that first, or remove the container with all that it wrote: ctst rm %s",
			name, taken, name)
	}
	return err
}

// layerFirst tells whose files a writable layer has, if there is one.
func (b *Backend) layerFirst(name string) (first uint32, ok bool, err error) {
	if _, err := os.Lstat(filepath.Join(b.lastingDir(name), "upper")); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	file := filepath.Join(b.lastingDir(name), "ids.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false, fmt.Errorf("find out whose files %s wrote: %w; remove the container with all that it wrote: ctst rm %s", name, err, name)
	}
	var ids layerIDs
	if err := json.Unmarshal(text, &ids); err != nil {
		return 0, false, &state.DamagedError{Path: file, Err: err}
	}
	return ids.First, true, nil
}

// writableLayer returns the folders that take what a container writes. New ones
// are root's inside.
func (b *Backend) writableLayer(name string, ids idmap.IDs) (upper, work string, err error) {
	dir := b.lastingDir(name)
	upper, work = filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return "", "", err
	}
	if _, err := os.Lstat(upper); !errors.Is(err, fs.ErrNotExist) {
		return upper, work, err
	}
	uid, gid, err := ids.Host(0, 0)
	if err != nil {
		return "", "", err
	}
	// An upper folder that is there is complete, and its ids are written down.
	text, err := json.Marshal(layerIDs{First: uid})
	if err != nil {
		return "", "", err
	}
	if err := state.WriteFile(filepath.Join(dir, "ids.json"), text, 0o600); err != nil {
		return "", "", err
	}
	fresh := filepath.Join(dir, "upper.new")
	if err := os.RemoveAll(fresh); err != nil {
		return "", "", err
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return "", "", err
	}
	// It becomes the container's "/", without the umask of this process.
	return upper, work, errors.Join(os.Chown(fresh, int(uid), int(gid)), os.Chmod(fresh, 0o755), os.Rename(fresh, upper))
}

// prepareUser makes sure of the container's ids and makes its user and network
// namespaces.
func (l *launch) prepareUser(ctx context.Context, c *instance) error {
	first, err := l.backend.ensureIDs(ctx, c)
	if err != nil {
		return err
	}
	l.ids = l.backend.ids.from(first)
	l.ns, err = sandbox.Prepare(ctx, l.ids, sandbox.PrepareOptions{Network: l.cfg.Network.Mode != container.NetworkHost})
	if err != nil {
		return err
	}
	l.owns(l.ns)
	return nil
}

// ensureIDs returns the first of a container's host ids. They are those of its
// record, unless the registry was lost and somebody else has taken them since.
func (b *Backend) ensureIDs(ctx context.Context, c *instance) (uint32, error) {
	b.mu.Lock()
	cfg, first := c.record.Config, c.record.FirstID
	b.mu.Unlock()
	err := b.ids.Claim(ctx, cfg.Name, first, false)
	var taken *idmap.TakenError
	if !errors.As(err, &taken) {
		return first, err
	}
	if first, err = b.reserveIDs(ctx, cfg); err != nil {
		return 0, err
	}
	if err := b.makeLayer(ctx, cfg, b.ids.from(first)); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c.record.FirstID = first
	return first, b.save(c)
}

// checkUser tells whether a user of an image exists inside.
func checkUser(ids idmap.IDs, user rootfs.User) error {
	for _, group := range append(user.Groups, user.GID) {
		if _, _, err := ids.Host(user.UID, group); err != nil {
			return fmt.Errorf("%w: a container has the ids 0–%d", err, idmap.Size-1)
		}
	}
	return nil
}
