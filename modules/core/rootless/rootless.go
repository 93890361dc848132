// Package rootless lets an ordinary user run containers: it starts a program in
// a user namespace in which the user is root, so that everything there works as
// it does for the machine's root, with the user's own ids.
//
//	if rootless.Needed() {
//		exit, err := rootless.Run(ctx, os.Args, os.Environ(), rootless.Options{})
//		...
//		os.Exit(exit.Code)
//	}
//
// Inside, the program has all capabilities over what belongs to that namespace:
// mounts, network namespaces, further user namespaces for containers, and the
// user's subordinate ids of /etc/subuid and /etc/subgid. Outside it is the user
// and nothing more. The network, processes and files are those of the machine;
// mounts that it makes are seen by nobody else. What it starts is in the
// namespace too.
//
// Files that belong to subordinate ids can be changed and removed inside only.
//
// Platform: Linux 5.14; elsewhere Needed is false, and Run's error matches
// errors.ErrUnsupported. Privileges: none, but newuidmap and newgidmap must be
// installed for more than one id. Not for concurrent use with anything else that
// starts containers in this process.
package rootless

// Options are of Run. The zero value works.
type Options struct {
	// Join is a file that Note wrote: while a process lives in the namespace
	// that it speaks of, the program joins that. Who has lost all processes of
	// its own but its containers finds them there. Empty, or a file that is not
	// there: a new namespace.
	Join string
}
