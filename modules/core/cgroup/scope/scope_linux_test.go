package scope

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/kerneltest"
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// patience is what a call may take that gets its answer: a fake answers at once,
// but the machine may have other work. What gets none takes all of it.
const patience = 2 * time.Second

const job = dbus.ObjectPath("/org/freedesktop/systemd1/job/7")

func removed(result string) *dbus.Signal {
	return &dbus.Signal{Name: "JobRemoved", Body: []any{uint32(7), job, "containust-x.scope", result}}
}

// another job's end is none of ours
func another() *dbus.Signal {
	return &dbus.Signal{Name: "JobRemoved", Body: []any{uint32(8), dbus.ObjectPath("/other"), "x.service", "failed"}}
}

func started(result string) answer {
	return answer{body: []any{job}, first: another(), then: removed(result)}
}

// What can go wrong is told, with the unit, and with what a person can look at.
func TestErrors(t *testing.T) {
	if _, err := cgroup.Find(); err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	const unit = "systemd: start containust-x.scope: "
	for name, test := range map[string]struct {
		answers map[string]answer
		refuse  bool
		name    string
		want    string
		is      error
	}{
		"refused at the door": {refuse: true, want: "authentication failed"},
		"access denied": {
			answers: map[string]answer{"StartTransientUnit": {err: "org.freedesktop.DBus.Error.AccessDenied"}},
			want:    unit + "no: org.freedesktop.DBus.Error.AccessDenied",
		},
		"its job failed": {
			answers: map[string]answer{"StartTransientUnit": started("failed")},
			want:    unit + `its job ended with "failed"; see: journalctl -u containust-x.scope`,
		},
		"its job is never done": {
			answers: map[string]answer{"StartTransientUnit": {body: []any{job}, then: another()}},
			want:    unit + "wait for its job: context deadline exceeded", is: context.DeadlineExceeded,
		},
		"no answer": {
			answers: map[string]answer{},
			want:    unit + "wait for an answer: context deadline exceeded", is: context.DeadlineExceeded,
		},
		"it hangs up": {
			answers: map[string]answer{"StartTransientUnit": {hang: true}},
			want:    unit, is: io.EOF,
		},
		"the process did not move": {
			answers: map[string]answer{"StartTransientUnit": started("done")},
			want:    unit + "the process ", is: fs.ErrNotExist,
		},
		"another that does not end": {
			answers: map[string]answer{
				"StartTransientUnit": {err: managerName + ".UnitExists"},
				"GetUnit":            {body: []any{dbus.ObjectPath("/unit")}},
				"ActiveState":        {body: []any{dbus.MakeVariant("deactivating")}},
				"ControlGroup":       {body: []any{dbus.MakeVariant("/x")}},
			},
			want: "systemd: join containust-x.scope: it does not end", is: context.DeadlineExceeded,
		},
		"another that cannot be joined": {
			answers: map[string]answer{
				"StartTransientUnit": {err: managerName + ".UnitExists"},
				"GetUnit":            {err: "org.freedesktop.DBus.Error.AccessDenied"},
			},
			want: "systemd: join containust-x.scope: no: ",
		},
		"a name that cannot be": {name: "a/b", want: `systemd: start a/b.scope: '/' cannot be`, is: fs.ErrInvalid},
		"a long name":           {name: strings.Repeat("x", 250), want: "1 to 255 characters", is: fs.ErrInvalid},
	} {
		for _, onBus := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				answers := map[string]answer{}
				for method, a := range test.answers {
					answers[method] = a
				}
				f := &fake{t: t, answers: answers, refuse: test.refuse}
				p := f.peer(onBus)
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				spec := Spec{Name: "containust-x", PIDs: []int{os.Getpid()}}
				if test.name != "" {
					spec.Name = test.name
				}
				_, err := p.enter(ctx, spec)
				require.ErrorContains(t, err, test.want)
				var typed *Error
				require.ErrorAs(t, err, &typed)
				if test.is != nil {
					require.ErrorIs(t, err, test.is)
				}
			})
		}
	}
}

// A scope that goes away while it is joined is started after all.
func TestEndingScopeIsStartedAgain(t *testing.T) {
	if _, err := cgroup.Find(); err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	f := &fake{t: t, answers: map[string]answer{
		"StartTransientUnit": {err: managerName + ".UnitExists"},
		"GetUnit":            {err: managerName + ".NoSuchUnit"},
	}}
	p := f.peer(false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := p.enter(ctx, Spec{Name: "containust-x", PIDs: []int{os.Getpid()}})
		ended <- err
	}()
	for _, want := range []string{"StartTransientUnit", "GetUnit", "StartTransientUnit"} {
		require.Equal(t, want, <-f.asked)
	}
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestNoManager(t *testing.T) {
	dir := t.TempDir()
	p := peer{user: true, uid: 1000, bus: filepath.Join(dir, "bus"), private: filepath.Join(dir, "systemd", "private")}
	_, err := p.describe(t.Context())
	require.ErrorIs(t, err, ErrNoManager)
	require.ErrorContains(t, err, "systemd: connect to the manager of user 1000: ")
	require.ErrorContains(t, err, "loginctl enable-linger")

	// A socket that nobody listens on any more.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.bus, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	p.user = false
	_, err = p.describe(t.Context())
	require.ErrorIs(t, err, ErrNoManager)
	require.NotContains(t, err.Error(), "linger")
}

func TestDescribe(t *testing.T) {
	h, err := cgroup.Find()
	if err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	for _, onBus := range []bool{true, false} {
		f := &fake{t: t, answers: map[string]answer{
			"Version":      {body: []any{dbus.MakeVariant("252.1")}},
			"ControlGroup": {body: []any{dbus.MakeVariant("")}},
		}}
		m, err := f.peer(onBus).describe(t.Context())
		require.NoError(t, err)
		require.Equal(t, Manager{User: true, Version: "252.1", Dir: h.Mount, Controllers: m.Controllers}, m)
		require.ElementsMatch(t, h.Controllers, m.Controllers)

		f.answers["ControlGroup"] = answer{err: "org.freedesktop.DBus.Error.UnknownProperty"}
		_, err = f.peer(onBus).describe(t.Context())
		require.ErrorContains(t, err, "systemd: ask the manager of user ")
		require.ErrorContains(t, err, "property ControlGroup: no: ")
	}
}
