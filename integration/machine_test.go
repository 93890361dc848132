package integration

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/containust/containust/integration/traces"
)

// machine checks what projects have on the machine beside their folder:
//
//	machine runs     something of each kind is there
//	machine clean    nothing is, or soon will be
//
// The first keeps the second honest: a check that looks in the wrong place finds
// nothing either.
func machine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: machine runs|clean")
	}
	projects, err := traces.Below(ts.Getenv("WORK"))
	ts.Check(err)
	switch args[0] {
	case "runs":
		if len(projects) == 0 {
			ts.Fatalf("no project has state")
		}
		for _, p := range projects {
			for kind, found := range tracesOf(ts, p) {
				if len(found) == 0 {
					ts.Fatalf("no %s of %s", kind, p.ID)
				}
			}
		}
	case "clean":
		// The supervisor removes the last things after it has answered.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			left := map[string][]string{}
			for _, p := range projects {
				for kind, found := range tracesOf(ts, p) {
					if len(found) > 0 {
						left[kind+" of "+p.ID] = found
					}
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				ts.Fatalf("left behind: %v", left)
			}
		}
	default:
		ts.Fatalf("machine %s?", args[0])
	}
}

func tracesOf(ts *testscript.TestScript, p traces.Project) map[string][]string {
	found, err := traces.Of(p, ts.Getenv("XDG_RUNTIME_DIR"))
	ts.Check(err)
	return found
}
