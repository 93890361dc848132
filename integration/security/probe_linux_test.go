package security

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const page = "../../docs/security.md"

// kinds are the containers that the page tells about, in its order. Of the last
// it tells only what the filter of system calls alone keeps away.
var kinds = []struct{ name, title, property string }{
	{"usual", "by default", ""},
	{"docker", "`capabilities = [\"docker\"]`", `capabilities = ["docker"]`},
	{"open", "`seccomp = \"unconfined\"`", `seccomp = "unconfined"`},
}

const possible = "possible"

// What is possible in a container is what the page says, no more and no less,
// for a container's first process as for one that exec starts.
func TestProbe(t *testing.T) {
	var file strings.Builder
	for _, k := range kinds {
		fmt.Fprintf(&file, `COMPONENT %[1]s { image = "file://./root" command = ["/probe", "checklist"] job = true %[2]s }
COMPONENT %[1]s-waits { image = "file://./root" command = ["/probe", "wait"] %[2]s }
`, k.name, k.property)
	}
	p := newProject(t, file.String())
	p.ctst(t, "run", "-d")

	var order []string
	results := map[string][]string{} // of each kind
	for i, k := range kinds {
		out := p.logs(t, k.name)
		require.Equal(t, out, p.ctst(t, "exec", k.name+"-waits", "/probe", "checklist"), "exec gives more or less than the start does")
		for line := range strings.Lines(out) {
			what, result, ok := strings.Cut(strings.TrimSpace(line), "\t")
			require.True(t, ok, "%s: %q", k.name, line)
			require.Len(t, results[what], i, what)
			if i == 0 {
				order = append(order, what)
			}
			results[what] = append(results[what], result)
		}
	}
	require.NotEmpty(t, order)
	settle(t, func(page string) string {
		table := "| tried |"
		for _, k := range kinds {
			table += " " + k.title + " |"
		}
		table += "\n|---|---|---|---|\n"
		for _, what := range order {
			table += tableRow(page, what, results[what])
		}
		return table
	})
}

// tableRow is what the page has to say about one item. What it says is let through
// without a filter may be refused all the same by this kernel.
func tableRow(page, what string, results []string) string {
	usual, docker, open := results[0], results[1], results[2]
	left := fmt.Sprintf("| %s | %s | %s |", what, strong(usual), strong(docker))
	const through, same = " let through |\n", " |\n"
	refused := slices.Contains([]string{usual, "EPERM", "EACCES", "ENOSYS"}, open)
	if !refused || strings.Contains(page, left+through) {
		return left + through
	}
	return left + same
}

func strong(result string) string {
	if result == possible {
		return "**" + result + "**"
	}
	return result
}

// settle compares the table of the page with what was found, or writes it.
func settle(t *testing.T, write func(old string) string) {
	t.Helper()
	const begin, end = "<!-- probe: begin, written by TestProbe -->\n", "<!-- probe: end -->\n"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "the page has no %q", begin)
	got, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "the page has no %q", end)
	if *update {
		table := write("")
		require.NoError(t, os.WriteFile(page, []byte(before+begin+table+end+after), 0o644))
		return
	}
	require.Equal(t, got, write(got), "%s is not what a container can do; after a look: go test ./integration/security -run Probe -update", page)
}
