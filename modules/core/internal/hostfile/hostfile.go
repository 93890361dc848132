// Package hostfile keeps a file in which the projects of a host write down what
// each has of something that they share: ports, addresses, ranges of ids.
//
//	f, err := hostfile.Open(ctx, "/run/containust/ids.json", alive)
//	defer func() { err = errors.Join(err, f.Close()) }()
//	f.Projects["shop"] = entry
//	err = f.Save()
//
// The file is locked while it is open, and goes when it is empty. An entry of an
// earlier boot, or of a project that is gone, is left out: it is what a crash or
// a reboot left.
//
// Linux, and the right to write the file's folder. Locks hold between processes
// and between goroutines alike.
package hostfile
