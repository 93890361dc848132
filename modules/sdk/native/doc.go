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
// Each container has a user namespace of its own, whose 65,536 ids no other and
// nobody on the host has. Its layers show the owners that they have in the image.
// Of a volume or a host path only the owner appears, as the container's user,
// and what that user writes there is the owner's: a host's folder stays its
// owner's, and containers with different users can share a volume. A new named
// volume belongs on disk to ids that no process ever runs with. A folder of the
// host's root is given as such: what its container writes there, set-uid files
// too, is root's.
//
// The ids stay those of the container while it exists, and of a writable layer
// for as long as that exists. Where they were given to somebody else meanwhile,
// the layer's files are not changed and the start fails with an error.
//
// # Ordinary users
//
// In a user namespace, where package rootless brings an ordinary user's program,
// all of this works but for what only the machine's root can have. All containers
// share the ids that exist there: the user is their root, and without subordinate
// ids nobody else exists. They still have user namespaces of their own, so that
// none has power over another. Owners are not mapped: layers are unpacked with
// their owners, a new named volume belongs to the user of the container that it is
// made for, and a host path shows the caller as root. Devices are the host's own,
// mounted one by one. The project's network has no way out; an exposed tcp port is
// served by this process, and pauses while it is started again. Without a cgroup
// that the user may write, a container shares the caller's and ends with its first
// process.
//
// Needs Linux 5.19, and root or such a namespace. Elsewhere Open's error matches
// errors.ErrUnsupported. A Backend is safe for concurrent use; a project has one
// at a time.
package native
