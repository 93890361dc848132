package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/state"
)

func newEnable(a *app) *cobra.Command {
	printed := false
	cmd := &cobra.Command{
		Use:   "enable",
		Short: "Start the project when the machine starts",
		Long: `enable writes a systemd unit that starts the project when the machine starts, and
stops it in order when the machine is shut down: for root a unit of the system, else
one of yours, which starts when you log in. It is for a project of which a component
has restart = "always" or "unless-stopped". It starts nothing now.

Variables that the file takes from the environment are not there then: give them
with --env-file, which the unit repeats.`,
		Example: examples("ctst enable", "ctst --env-file prod.env enable", "ctst enable --print"),
		Args:    arguments(0, 0, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.enable(cmd.Context(), printed) },
	}
	cmd.Flags().BoolVar(&printed, "print", false, "print the unit and change nothing")
	return cmd
}

func newDisable(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "disable",
		Short:   "Don't start the project when the machine starts",
		Long:    `disable removes the systemd unit that enable wrote. What runs goes on.`,
		Example: examples("ctst disable"),
		Args:    arguments(0, 0, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.disable(cmd.Context()) },
	}
}

func (a *app) enable(ctx context.Context, printed bool) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	st, found := eng.Load(ctx)
	if errs, _ := found.Count(); errs > 0 {
		return diag.Errors(found)
	}
	if !lasting(st) {
		return &problem{
			err:  fmt.Errorf("no component of %s is to be started again by itself", diag.Escape(shortPath(st.File))),
			mend: []string{`give what shall run after a reboot the property restart = "always"`},
		}
	}
	unit, err := a.unit(eng.Project(), os.Geteuid() == 0)
	if err != nil {
		return err
	}
	if printed {
		_, err := a.Stdout.WriteString(unit)
		return err
	}
	u, err := a.findUnit(eng.Project())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(u.path), 0o755); err != nil {
		return err
	}
	if err := state.WriteFile(u.path, []byte(unit), 0o644); err != nil {
		return err
	}
	if err := errors.Join(u.systemctl(ctx, "daemon-reload"), u.systemctl(ctx, "enable", u.name())); err != nil {
		return err
	}
	talk := a.talk()
	talk.Line("Enabled: %s", diag.Escape(u.path))
	if u.user {
		talk.Line("It starts when you log in; to start it with the machine: loginctl enable-linger")
	}
	talk.Line("Start it now: %s run -d", a.self())
	return nil
}

func (a *app) disable(ctx context.Context) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	u, err := a.findUnit(eng.Project())
	if err != nil {
		return err
	}
	if _, err := os.Lstat(u.path); errors.Is(err, fs.ErrNotExist) {
		a.talk().Line("It was not enabled.")
		return nil
	}
	err = errors.Join(u.systemctl(ctx, "disable", u.name()), os.Remove(u.path), u.systemctl(ctx, "daemon-reload"))
	if err != nil {
		return err
	}
	a.talk().Line("Disabled; what runs goes on.")
	return nil
}

// lasting tells whether a component shall run for as long as the machine does.
func lasting(st *stack.Stack) bool {
	for _, c := range st.Components {
		if c.Restart.Policy == "always" || c.Restart.Policy == "unless-stopped" {
			return true
		}
	}
	return false
}

// unitFile is where systemd finds a project's unit.
type unitFile struct {
	path string
	user bool
}

func (u unitFile) name() string { return filepath.Base(u.path) }

// findUnit says where the unit belongs on a machine that systemd runs.
func (a *app) findUnit(p sdk.Project) (unitFile, error) {
	// sd_booted(3)
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return unitFile{}, &exitError{code: codeUnsupported, err: &problem{
			err:  errors.New("this machine is not run by systemd, whose units enable writes"),
			mend: []string{"let what starts programs on this machine call: " + a.self() + " run -d"},
		}}
	}
	u := unitFile{path: filepath.Join("/etc/systemd/system", "containust-"+p.ID+".service"), user: os.Geteuid() != 0}
	if u.user {
		config, err := os.UserConfigDir()
		if err != nil {
			return unitFile{}, err
		}
		u.path = filepath.Join(config, "systemd", "user", u.name())
	}
	return u, nil
}

func (u unitFile) systemctl(ctx context.Context, args ...string) error {
	if u.user {
		args = append([]string{"--user"}, args...)
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		text, _, _ := strings.Cut(strings.TrimSpace(said.String()), "\n")
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// unit is the text of a project's unit (systemd.service(5)). The project's
// processes are in a scope of their own, so that the unit is no more than what
// starts and stops them.
func (a *app) unit(p sdk.Project, system bool) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	words := []string{self, "--file", p.File, "--state-dir", p.StateDir}
	for _, file := range a.envFiles {
		path, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		words = append(words, "--env-file", path)
	}
	if a.offline {
		words = append(words, "--offline")
	}
	return unitText(p, words, system), nil
}

func unitText(p sdk.Project, words []string, system bool) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = unitWord(word)
	}
	command := strings.Join(quoted, " ")
	after, target := "network.target local-fs.target", "multi-user.target"
	if !system {
		after, target = "basic.target", "default.target"
	}
	return fmt.Sprintf(`# Written by ctst enable; ctst disable removes it.
[Unit]
Description=Containust project %s
After=%s
ConditionPathExists=%s

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%s run --detach
ExecStop=%[4]s stop
TimeoutStartSec=infinity
TimeoutStopSec=infinity

[Install]
WantedBy=%s
`, strings.ReplaceAll(diag.Escape(p.Name), "%", "%%"), after, unitPath(p.File), command, target)
}

// unitWord quotes a word of a command line of a unit (systemd.service(5), "Command
// lines"; systemd.syntax(7), "Quoting").
func unitWord(word string) string {
	return `"` + strings.ReplaceAll(unitEscape(word), "$", "$$") + `"`
}

// unitPath is a path as the value of a setting, which is not split into words.
func unitPath(path string) string {
	return strings.NewReplacer("%", "%%", "\n", `\n`).Replace(path)
}

func unitEscape(word string) string {
	var out strings.Builder
	for i := range len(word) {
		switch c := word[i]; {
		case c == '"' || c == '\\':
			out.WriteByte('\\')
			out.WriteByte(c)
		case c == '%':
			out.WriteString("%%")
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&out, `\x%02x`, c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}
