//go:build unix

package command

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyWindow passes on that the terminal may be another than before.
func notifyWindow(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH, syscall.SIGCONT) }
