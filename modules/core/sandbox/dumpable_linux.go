package sandbox

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// hidden counts the launches that need the process not to be dumpable. Like
// the property, it belongs to the process and not to any object in it.
var hidden struct {
	sync.Mutex
	launches int
	before   int // PR_GET_DUMPABLE when the first of them began
}

// visible is held for writing while a child must be readable, and for reading
// while one must not be: never both.
var visible sync.RWMutex

// reveal keeps the process as it is, dumpable or not, until undo is called: no
// launch begins meanwhile, and none goes on.
func reveal() (undo func(), err error) {
	visible.Lock()
	return visible.Unlock, nil
}

// hide makes the process not dumpable until undo is called. A child shares its
// memory, and the one of an exec is visible in the container's pid namespace:
// without this, a process there could reach that memory through /proc/PID/mem.
func hide() (undo func(), err error) {
	visible.RLock()
	hidden.Lock()
	defer hidden.Unlock()
	if hidden.launches == 0 {
		before, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err == nil {
			err = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		}
		if err != nil {
			visible.RUnlock()
			return nil, fmt.Errorf("sandbox: make the process unreadable: %w", err)
		}
		hidden.before = before
	}
	hidden.launches++
	return show, nil
}

func show() {
	defer visible.RUnlock()
	hidden.Lock()
	defer hidden.Unlock()
	hidden.launches--
	// The kernel's third state, 2, cannot be set; it is as closed as 0.
	if hidden.launches == 0 && hidden.before == 1 {
		// Fails for no value that PR_GET_DUMPABLE returned but 2.
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
}
