// Package native runs containers with this machine's kernel: the Linux
// implementation of [container.Backend], on core's sandbox, rootfs, network
// and cgroup packages and on storage's overlay.
//
//	b, err := native.Open(ctx, native.Options{Project: id, StateDir: dir, RunDir: "/run/containust/" + id})
//	id, err := b.Create(ctx, cfg)
//	pid, err := b.Start(ctx, id)
//	exit, err := b.Wait(ctx, id)
//
// What a container is, and which process is its first, is recorded in RunDir
// before anybody is told: a backend that is opened anew finds everything that an
// earlier one started, whether that ended in order or was killed. RunDir belongs
// on a tmpfs: a record holds the whole configuration, secrets included, and means
// nothing after a reboot. What lasts is in StateDir: logs, volumes, the layer
// that a container wrote to, and its addresses.
//
// Needs Linux 5.14 and root. Elsewhere Open's error matches
// errors.ErrUnsupported. A Backend is safe for concurrent use; a project has one
// at a time.
package native
