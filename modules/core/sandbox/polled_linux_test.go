package sandbox_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/sandbox"
)

// longEnv makes tests go on for longer; make test-long sets it.
const longEnv = "CTST_TEST_LONG"

// often is how many times something is done that fails rarely.
func often(usual, long int) int {
	if os.Getenv(longEnv) != "" {
		return long
	}
	return rounds(usual)
}

// polled runs commands in a container that meanwhile looks for memory that is
// not its own. The child of an exec shares the caller's, and is visible there
// before it runs its program.
func polled(t *testing.T, s sandbox.Spec) {
	secret := new(rand.Uint64()) // on the heap: it stays where it is
	defer runtime.KeepAlive(secret)
	s.Args = []string{"peek", strconv.FormatUint(uint64(uintptr(unsafe.Pointer(secret))), 16), strconv.FormatUint(*secret, 16)}
	p, r := start(t, s)
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	for range often(300, 10_000) {
		_, exit := execute(t, p, sandbox.Command{Args: []string{"exit", "0"}})
		require.Equal(t, container.ExitStatus{}, exit)
	}
	require.NoError(t, p.Signal(syscall.SIGTERM))
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "done, saw others: true\n", line)

	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	require.NoError(t, err)
	require.Equal(t, 1, dumpable, "afterwards as before")
}

// manyPlaces is a PATH that keeps the child of an exec busy for a while: it is
// searched in the container.
var manyPlaces = "PATH=" + strings.Repeat("/:", 1000) + "/bin"

// What appears in a container has not the caller's memory, and so not its program
// either, from the first moment on: not the child of an exec, nor that of a launch
// into the container's pid namespace.
func TestMemoryApart(t *testing.T) {
	each(t, func(t *testing.T, s sandbox.Spec) {
		p := running(t, s)
		for name, appear := range map[string]func(t *testing.T){
			"exec": func(t *testing.T) {
				_, exit := execute(t, p, sandbox.Command{Args: []string{"exit", "0"}, Env: []string{manyPlaces}})
				require.Zero(t, exit)
			},
			"launch": func(t *testing.T) {
				pids, err := namespace.Open(p.PID(), namespace.PID)
				require.NoError(t, err)
				defer pids.Close()
				s := again(t, s, "exit", "0")
				s.Env, s.PID = []string{manyPlaces}, sandbox.Namespace{File: pids}
				output(t, s)
			},
		} {
			t.Run(name, func(t *testing.T) {
				inside, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", p.PID()))
				require.NoError(t, err)
				seen := map[string]bool{}
				var caught atomic.Bool
				stop := poll(func() {
					dirs, _ := filepath.Glob("/proc/[0-9]*")
					for _, dir := range dirs {
						if ns, _ := os.Readlink(dir + "/ns/pid"); ns != inside {
							continue
						}
						if exe, err := os.Readlink(dir + "/exe"); err == nil && exe != "/bin/probe" {
							seen[exe] = true
							caught.Store(true)
						}
					}
				})
				for n := 0; n < rounds(20) || !caught.Load() && n < 1000; n++ {
					appear(t)
				}
				stop()
				require.Equal(t, map[string]bool{"/memfd:launch (deleted)": true}, seen)
			})
		}
	})
}

// poll calls f again and again until stop is called.
func poll(f func()) (stop func()) {
	end := make(chan struct{})
	var polling sync.WaitGroup
	polling.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
				f()
			}
		}
	})
	return func() { close(end); polling.Wait() }
}

func TestExecUnreadable(t *testing.T) { polled(t, spec(t, image(t))) }

// As for root in a user namespace of the container.
func TestUserExecUnreadable(t *testing.T) {
	s := userSpec(t, image(t))
	s.Capabilities = capability.Of(capability.SYS_PTRACE, capability.DAC_OVERRIDE)
	polled(t, s)
}
