package faults

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stack has what a project can have: a job, an order, a network, a volume.
const stack = `
COMPONENT migrate {
    image = "file://./root"
    command = ["/app", "write", "/data/mark", "migrated"]
    job = true
    volumes = ["data:/data"]
}
COMPONENT db { image = "file://./root" command = ["/app", "wait"] volumes = ["data:/data"] }
COMPONENT web { image = "file://./root" command = ["/app", "wait"] readonly = false }
CONNECT db -> migrate
CONNECT web -> db
`

// Whenever a command is killed, the next one works, and says what is true.
func TestKilledCommands(t *testing.T) {
	for name, test := range map[string]struct {
		before []string // what there is when the command begins
		args   []string
	}{
		"run":  {before: nil, args: []string{"run", "-d"}},
		"stop": {before: []string{"run", "-d"}, args: []string{"stop"}},
		"rm":   {before: []string{"run", "-d"}, args: []string{"rm", "--force"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, t.TempDir(), stack)
			prepare := func() {
				if test.before == nil {
					p.ctst(t, "rm", "--force")
					p.clean(t)
				} else {
					p.ctst(t, test.before...)
				}
			}
			p.ctst(t, "run", "-d")
			within := p.median(t, prepare, test.args...)
			for range rounds(6, 200) {
				prepare()
				p.killed(t, within+within/4, test.args...)
				p.components(t)
				p.ctst(t, "run", "-d")
				p.running(t, "db", "web")
				require.Equal(t, "migrated\n", p.ctst(t, "exec", "db", "/app", "read", "/data/mark"))
			}
			p.ctst(t, "stop")
			p.clean(t)
		})
	}
}

// A build that is killed leaves a store that the next one goes on with.
func TestKilledBuild(t *testing.T) {
	p := newProject(t, t.TempDir(), stack)
	prepare := func() { require.NoError(t, removeAll(p.path(".cache"))) }
	within := p.median(t, prepare, "build")
	for range rounds(10, 200) {
		prepare()
		p.killed(t, within+within/4, "build")
		p.ctst(t, "build")
	}
	p.ctst(t, "run", "-d")
	p.running(t, "db", "web")
}

// Guardian and supervisor are killed, each and both, while a person goes on:
// containers do not notice.
func TestKilledKeepers(t *testing.T) {
	p := newProject(t, t.TempDir(), stack)
	p.ctst(t, "run", "-d")
	before := p.running(t, "db", "web")
	for range rounds(10, 100) {
		victims := [][]string{{"supervisor"}, {"guardian"}, {"guardian", "supervisor"}}[rand.N(3)]
		p.kill(t, victims...)
		time.Sleep(rand.N(30 * time.Millisecond))
		require.Equal(t, before, p.components(t), "%v killed", victims)
		require.Equal(t, "migrated\n", p.ctst(t, "exec", "db", "/app", "read", "/data/mark"))
		require.Contains(t, p.ctst(t, "run", "-d"), "up to date")
	}
}

// The supervisor is killed while it starts and stops things.
func TestKilledSupervisorAtWork(t *testing.T) {
	p := newProject(t, t.TempDir(), stack)
	for round := range rounds(10, 200) {
		args := []string{"run", "-d"}
		if round%2 == 1 {
			args = []string{"stop"}
		}
		cmd := p.command(t, args...)
		require.NoError(t, cmd.Start())
		time.Sleep(rand.N(150 * time.Millisecond))
		p.kill(t, "supervisor")
		_ = cmd.Wait() // it may say that the supervisor was lost
		p.components(t)
	}
	p.ctst(t, "run", "-d")
	p.running(t, "db", "web")
	p.ctst(t, "stop")
	p.clean(t)
}
