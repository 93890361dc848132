package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/integration/guest/job"
)

// told runs a stream of events, each "action package test output", through
// results.
func told(t *testing.T, o options, jobs []job.Job, events ...string) *results {
	t.Helper()
	var stream, out strings.Builder
	for _, line := range events {
		f := strings.SplitN(line, " ", 4)
		e := job.Event{Action: f[0], Package: f[1], Test: f[2], Output: f[3]}
		if e.Output != "" && e.Action == "output" {
			e.Output += "\n"
		}
		require.NoError(t, json.NewEncoder(&stream).Encode(e))
	}
	r := newResults(&out, jobs, o)
	_, err := r.read(guestSays(stream.String()))
	require.NoError(t, err)
	return r
}

// said is a guest that has said all it will ever say.
type said struct {
	io.Reader
	heard strings.Builder
}

func (s *said) Write(p []byte) (int, error) { return s.heard.Write(p) }

func guestSays(stream string) *said { return &said{Reader: strings.NewReader(stream)} }

// A guest gets a job when it is ready and when it has done one, until there is
// none, and two guests never the same.
func TestJobsAreHandedOut(t *testing.T) {
	r := newResults(io.Discard, []job.Job{{Package: "a", Program: "/a"}, {Package: "b", Program: "/b"}, {Package: "c", Program: "/c"}}, options{})
	const ready = `{"Action":"ready"}` + "\n"
	end := func(pkg string) string { return `{"Action":"end","Package":"` + pkg + `"}` + "\n" }
	for _, guest := range []struct {
		says  string
		hears []string // programs
		all   bool
	}{
		{ready, []string{"/a"}, false}, // and is dead
		{ready + end("b") + `{"Action":"run","Package":"c","Test":"T"}` + "\n" + end("c"), []string{"/b", "/c", ""}, true},
		{ready, []string{""}, true},
	} {
		s := guestSays(guest.says)
		all, err := r.read(s)
		require.NoError(t, err)
		require.Equal(t, guest.all, all)
		var heard []string
		for decoder := json.NewDecoder(strings.NewReader(s.heard.String())); decoder.More(); {
			var j job.Job
			require.NoError(t, decoder.Decode(&j))
			heard = append(heard, j.Program)
		}
		require.Equal(t, guest.hears, heard)
	}
	require.Contains(t, r.problems(), "no result of a")
}

func TestResults(t *testing.T) {
	a := []job.Job{{Package: "a"}}
	for _, test := range []struct {
		name     string
		o        options
		jobs     []job.Job
		events   []string
		printed  string
		problems string
	}{
		{
			name: "all is well", jobs: a,
			events:  []string{"run a T ", "output a T === RUN T", "output a T talk", "pass a T ", "pass a  ", "end a  "},
			printed: "ok  \ta\t0.000s\n",
		},
		{
			name: "a test fails", jobs: a,
			events: []string{
				"run a T ", "output a T why", "fail a T ", "run a U ", "output a U quiet", "pass a U ", "output a  FAIL",
				"fail a  ", "end a  exit status 1",
			},
			printed:  "why\nFAIL\nFAIL\ta\t0.000s\n",
			problems: "failed: a",
		},
		{
			name: "the program passes over a failure", jobs: a,
			events:   []string{"run a T ", "fail a T ", "pass a  ", "end a  "},
			printed:  "FAIL\ta\t0.000s\n",
			problems: "failed: a",
		},
		{
			name: "tests pass, the program fails", jobs: a,
			events:   []string{"run a T ", "pass a T ", "output a  left behind", "end a  exit status 1"},
			printed:  "left behind\nFAIL\ta\t0.000s\n",
			problems: "failed: a",
		},
		{
			name: "a crash, whose last event is a test's", jobs: a,
			events:   []string{"run a T ", "output a T panic: no", "fail a T ", "end a  exit status 2"},
			printed:  "panic: no\nFAIL\ta\t0.000s\n",
			problems: "failed: a",
		},
		{
			name: "killed in a test", jobs: a,
			events:   []string{"run a T ", "output a T working", "end a  signal: killed"},
			printed:  "working\nFAIL\ta\t0.000s\n",
			problems: "failed: a",
		},
		{
			name: "a skip nobody allowed", jobs: a,
			events:   []string{"run a T ", "pass a T ", "run a U ", "output a U needs a friend", "skip a U ", "end a  "},
			printed:  "needs a friend\nok  \ta\t0.000s\n",
			problems: "skipped, and integration/guest/skips.go does not allow it: a U",
		},
		{
			name: "a newer kernel is needed", jobs: a,
			events:  []string{"run a T ", "pass a T ", "run a U ", "output a U x_test.go:1: needs Linux 6.15, this is 6.1.0", "skip a U ", "end a  "},
			printed: "ok  \ta\t0.000s\n",
		},
		{
			name: "an ordinary user skips what needs root", jobs: []job.Job{{Package: "a", UID: user}},
			events:  []string{"run a T ", "output a T needs root", "skip a T ", "run a U ", "pass a U ", "end a  "},
			printed: "ok  \ta\t0.000s\n",
		},
		{
			name: "all is skipped", jobs: []job.Job{{Package: "a", UID: user}},
			events:   []string{"run a T ", "output a T needs root", "skip a T ", "end a  "},
			printed:  "FAIL\ta\t0.000s\t[no tests ran]\n",
			problems: "failed: a",
		},
		{
			name: "nothing is what was asked for", o: options{run: "X"}, jobs: a,
			events:  []string{"end a  "},
			printed: "ok  \ta\t0.000s\t[no tests to run]\n",
		},
		{
			name: "the machine dies", jobs: []job.Job{{Package: "a"}, {Package: "b"}},
			events:   []string{"run a T ", "output a T here", "run a T/x "},
			printed:  "here\n",
			problems: "no result of a, in which T, T/x ran\nno result of b",
		},
		{
			name: "told as it comes", o: options{verbose: true}, jobs: a,
			events:  []string{"run a T ", "output a T === RUN T", "output a T talk", "fail a T ", "end a  exit status 1"},
			printed: "=== RUN T\ntalk\nFAIL\ta\t0.000s\n", problems: "failed: a",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := told(t, test.o, test.jobs, test.events...)
			require.Equal(t, test.problems, strings.Join(r.problems(), "\n"))
			require.Equal(t, test.printed, r.w.(*strings.Builder).String())
		})
	}
}

func TestWrongResults(t *testing.T) {
	for _, stream := range []string{"text\n", `{"Action":"run","Package":"stranger"}` + "\n"} {
		_, err := newResults(&strings.Builder{}, []job.Job{{Package: "a"}}, options{}).read(guestSays(stream))
		require.ErrorContains(t, err, "results of the guest: ", stream)
	}
}

func TestHalfALine(t *testing.T) {
	var out strings.Builder
	r := newResults(&out, []job.Job{{Package: "a"}}, options{})
	all, err := r.read(guestSays(`{"Action":"run","Package":"a","Test":"T"}` + "\n" + `{"Action":"outp`))
	require.NoError(t, err)
	require.False(t, all)
	require.Equal(t, []string{"no result of a, in which T ran"}, r.problems())
}

// What is said about packages is about packages that are there.
func TestListsAreCurrent(t *testing.T) {
	folders := append([]string{}, usersToo...)
	for folder := range selections {
		folders = append(folders, folder)
	}
	folders = append(folders, longest...)
	for _, s := range skips {
		folders = append(folders, s.folder)
	}
	for _, folder := range folders {
		require.DirExists(t, filepath.Join("..", "..", folder))
	}
}

func TestNeedsKernel(t *testing.T) {
	for _, test := range []struct {
		p    goPackage
		want bool
	}{
		{goPackage{TestGoFiles: []string{"a_test.go"}}, false},
		{goPackage{TestGoFiles: []string{"a_test.go", "a_linux_test.go"}}, true},
		{goPackage{XTestGoFiles: []string{"a_linux_test.go"}}, true},
		{goPackage{XTestGoFiles: []string{"a_test.go"}, XTestImports: []string{"testing", kernelTest}}, true},
		{goPackage{TestImports: []string{kernelTest}}, true},
	} {
		require.Equal(t, test.want, test.p.needsKernel(), "%+v", test.p)
	}
}

func TestLinuxTests(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a_linux_test.go": "package a\n\nfunc TestMain(m *testing.M) {}\nfunc TestA(t *testing.T) {\n}\n\nfunc helper(t *testing.T) {}\nfunc TestB(t *testing.T) {}\n",
		"b_test.go":       "package a\n\nfunc TestC(t *testing.T) {}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	p := goPackage{Dir: dir, TestGoFiles: []string{"b_test.go"}, XTestGoFiles: []string{"a_linux_test.go"}}
	names, err := p.linuxTests()
	require.NoError(t, err)
	require.Equal(t, []string{"TestA", "TestB"}, names)

	j := suite{folder: "modules/storage/source", linux: names}.job(options{}, 0)
	require.Contains(t, j.Args, "-test.run=^(TestA|TestB)$")
	j = suite{folder: "modules/storage/source", linux: names}.job(options{run: "X"}, 0)
	require.Contains(t, j.Args, "-test.run=X")
}

func TestOpenKernel(t *testing.T) {
	dir := t.TempDir()
	_, err := openKernel(dir)
	require.ErrorContains(t, err, "not an unpacked kernel package")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "boot"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "boot/vmlinuz-6.1.0-1"), nil, 0o644))
	_, err = openKernel(dir)
	require.ErrorContains(t, err, "no folder lib/modules/6.1.0-1")
	modules := filepath.Join(dir, "usr/lib/modules/6.1.0-1")
	require.NoError(t, os.MkdirAll(modules, 0o755))
	k, err := openKernel(dir)
	require.NoError(t, err)
	require.Equal(t, kernel{release: "6.1.0-1", image: filepath.Join(dir, "boot/vmlinuz-6.1.0-1"), modules: modules}, k)
}

func TestLastLines(t *testing.T) {
	var l lastLines
	for range 10000 {
		_, err := l.Write([]byte("early\r\n"))
		require.NoError(t, err)
	}
	_, err := l.Write([]byte("Kernel panic - not syncing\r\n"))
	require.NoError(t, err)
	lines := strings.Split(l.String(), "\n")
	require.Len(t, lines, consoleLines)
	require.Equal(t, "\tKernel panic - not syncing", lines[consoleLines-1])
	require.LessOrEqual(t, len(l.text), consoleBytes)
}
