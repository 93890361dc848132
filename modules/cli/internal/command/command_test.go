package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// ctst runs a command in this process.
func ctst(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := func(name string) *os.File {
		f, err := os.Create(filepath.Join(t.TempDir(), name))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		return f
	}
	stdio := IO{
		Args: args, Stdin: file("in"), Stdout: file("out"), Stderr: file("err"),
		LookupEnv: func(string) (string, bool) { return "", false },
	}
	code = Main(context.Background(), stdio)
	out, err := os.ReadFile(stdio.Stdout.Name())
	require.NoError(t, err)
	said, err := os.ReadFile(stdio.Stderr.Name())
	require.NoError(t, err)
	return string(out), string(said), code
}

// walk calls fn for every command that people see.
func walk(cmd *cobra.Command, fn func(*cobra.Command)) {
	fn(cmd)
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			walk(c, fn)
		}
	}
}

func TestSelf(t *testing.T) {
	a := &app{file: "my stack's.ctst", dir: "sub/é", envFiles: []string{"a.env", "\x1b[31m"}}
	require.Equal(t, `ctst -f 'my stack'\''s.ctst' --project-dir sub/é --env-file a.env --env-file '\x1b[31m'`, a.self())
	require.Equal(t, "ctst", (&app{}).self())
}

func TestHostileFileName(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such files cannot be there")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a\x1b[31m.ctst")
	require.NoError(t, os.WriteFile(path, []byte("COMPONENT a { image = \"file://./none\" }"), 0o600))
	for _, args := range [][]string{{"plan"}, {"build"}, {"validate"}, {"graph"}, {"fmt", "--check"}, {"plan", "--out", path + ".json"}} {
		stdout, stderr, _ := ctst(t, append(args, path)...)
		require.NotEmpty(t, stdout+stderr, args)
		require.NotContains(t, stdout+stderr, "\x1b", args)
	}
}

func TestHelp(t *testing.T) {
	var text bytes.Buffer
	walk(newRoot(&app{}), func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		stdout, stderr, code := ctst(t, append(path, "--help")...)
		require.Zero(t, code, "%v --help", path)
		require.Empty(t, stderr)
		require.NotEmpty(t, cmd.Example, "%v has no example", path)
		for line := range strings.SplitSeq(stdout, "\n") {
			require.LessOrEqual(t, len([]rune(line)), 120, "%v --help: %s", path, line)
		}
		fmt.Fprintf(&text, "$ ctst %s\n%s\n", strings.Join(append(path, "--help"), " "), stdout)
	})
	path := filepath.Join("testdata", "help.txt")
	if *update {
		require.NoError(t, os.WriteFile(path, text.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), text.String())
}

// TestExamples tries every example as far as its words go: commands and flags
// that it names must exist.
func TestExamples(t *testing.T) {
	root := newRoot(&app{})
	walk(root, func(cmd *cobra.Command) {
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			_, line, found := strings.Cut(line, "ctst ")
			require.True(t, found, cmd.Example)
			line, _, _ = strings.Cut(line, "   ")
			words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ')' })
			for i, word := range words {
				if word == ">" || word == "|" || word == "||" {
					words = words[:i]
					break
				}
			}
			named, rest, err := root.Find(words)
			require.NoError(t, err, line)
			require.NotSame(t, root, named, line)
			require.NoError(t, named.ParseFlags(rest), line)
		}
	})
}

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"stpo":                       "did you mean `ctst stop`?",
		"zzz":                        `unknown command "zzz"`,
		"up":                         "`ctst up` is `ctst run -d` here",
		"down":                       "`ctst down` is `ctst stop",
		"apply":                      "is `ctst run -d` here",
		"destroy":                    "is `ctst rm --force",
		"config":                     "is `ctst validate` here",
		"top":                        "is `ctst ps` here",
		"stats":                      "is `ctst ps` here",
		"run --detahc":               "unknown flag --detahc: did you mean --detach?",
		"run -X":                     "unknown flag -X",
		"run a.ctst b.ctst":          "takes at most one file",
		"graph --format txt":         "did you mean text?",
		"graph --format svg":         "there are text, dot and mermaid",
		"graph --format dot --ascii": "--ascii is for drawings",
		"fmt a.ctst -":               "stands alone",
		"plan -f a.ctst b.ctst":      "two files: b.ctst as an argument and a.ctst with -f",
		"ps --json -q":               "choose one",
		"ps --watch -q":              "--watch is for the table",
		"logs --tail x":              "invalid argument",
		"logs --tail -1":             "a number of lines is wanted",
		"stop --force --timeout 1s":  "leave --timeout away",
		"stop --timeout -1s":         "a time is wanted",
		"rm --volumes web":           "leave the names away",
		"rm --all":                   "say so with --volumes",
		"rm --all --volumes web":     "leave the names away",
		"restart --timeout -1s":      "a time is wanted",
		"kill":                       "takes at least one component",
		"wait":                       "takes at least one component",
		"port":                       "takes a component and at most one port",
		"inspect a b":                "takes one component",
		"cp a":                       "takes a source and a destination",
		"cp a b":                     "one of the two is NAME:PATH",
		"cp web:/a api:/b":           "one of the two is NAME:PATH",
		"cp ./web:/a b":              "one of the two is NAME:PATH",
		"cp web: b":                  "the path after the colon is missing",
		"exec":                       "takes a component and a command",
		"exec -it web":               "ctst exec -it web /bin/sh",
		"exec -e NOT_SET web /x":     "NOT_SET: the variable is not set here",
		"exec -e =1 web /x":          "KEY=value",
		"images lst":                 "did you mean `ctst images list`?",
		"images import":              "takes the URI of an image, not nothing",
		"completion tcsh":            `no completion for "tcsh"`,
		"version now":                "takes no argument",
		"--detahc run":               "unknown flag --detahc",
		"--fiel x ps":                "did you mean --file?",
		"--log-level loud ps":        "log-level",
	} {
		t.Run(line, func(t *testing.T) {
			stdout, stderr, code := ctst(t, strings.Fields(line)...)
			require.Equal(t, codeUsage, code, stderr)
			require.Contains(t, stderr, want)
			require.True(t, strings.HasPrefix(stderr, "error: "), stderr)
			require.Empty(t, stdout)
		})
	}
}

func TestExecNeedsATerminalForOne(t *testing.T) {
	for _, flags := range []string{"-t", "-it"} {
		_, stderr, code := ctst(t, "exec", flags, "web", "/bin/sh")
		require.Equal(t, codeEngine, code)
		require.Contains(t, stderr, "the input device is not a terminal")
		require.Contains(t, stderr, "leave -t away")
	}
}

func TestFollowAndFileFlags(t *testing.T) {
	for line, want := range map[string]struct {
		file   string
		follow string
	}{
		"logs -f":               {"", "true"},
		"-f x.ctst logs -f":     {"x.ctst", "true"},
		"logs --file x.ctst":    {"x.ctst", "false"},
		"ps -f x.ctst":          {"x.ctst", ""},
		"--file x.ctst ps":      {"x.ctst", ""},
		"stop --file=x.ctst":    {"x.ctst", ""},
		"-fx.ctst logs -f api":  {"x.ctst", "true"},
		"exec -f x.ctst a b -f": {"x.ctst", ""},
	} {
		t.Run(line, func(t *testing.T) {
			a := &app{}
			root := newRoot(a)
			follow := ""
			walk(root, func(cmd *cobra.Command) {
				cmd.RunE = func(cmd *cobra.Command, _ []string) error {
					if f := cmd.Flags().Lookup("follow"); f != nil {
						follow = f.Value.String()
					}
					return nil
				}
			})
			root.SetArgs(strings.Fields(line))
			require.NoError(t, root.Execute())
			require.Equal(t, want.file, a.file)
			require.Equal(t, want.follow, follow)
		})
	}
}

func TestExitCodes(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want int
	}{
		"anything":    {errors.New("x"), codeFailed},
		"file":        {fmt.Errorf("plan: %w", diag.Errors{{Summary: "x"}}), codeBadFile},
		"platform":    {fmt.Errorf("run: %w", errors.ErrUnsupported), codeUnsupported},
		"in exec":     {&exitError{code: codeEngine, err: errors.ErrUnsupported}, codeEngine},
		"interrupted": {context.Canceled, 130},
		"usage":       {usage("x"), codeUsage},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, code(tt.err)) })
	}
}

func TestErrorsAreEscaped(t *testing.T) {
	_, stderr, _ := ctst(t, "\x1b[2Jrun")
	require.NotContains(t, stderr, "\x1b")
}

func TestPick(t *testing.T) {
	digest := func(start string) source.Digest {
		return source.Digest("sha256:" + start + strings.Repeat("0", 64-len(start)))
	}
	images := []store.Image{{Digest: digest("aa1")}, {Digest: digest("aa2")}, {Digest: digest("b")}}
	for start, want := range map[string]string{
		"b": "", "sha256:AA1": "", "sha256:b000…": "", string(digest("aa2")): "",
		"aa": "2 images have a digest that starts", "c": "no image has", "": "no image has", "sha256:": "no image has",
	} {
		got, err := pick(images, start)
		if want != "" {
			require.ErrorContains(t, err, want, start)
			continue
		}
		require.NoError(t, err, start)
		require.True(t, strings.HasPrefix(got.Hex(), strings.TrimRight(strings.ToLower(strings.TrimPrefix(start, "sha256:")), "…")))
	}
}
