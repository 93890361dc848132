//go:build !unix

package command

import "os"

// notifyWindow does nothing: this system has no signal for it.
func notifyWindow(chan<- os.Signal) {}
