package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// TestPlanDocumentation: the example in docs/plan.md is what the program prints.
func TestPlanDocumentation(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("images are read on Linux")
	}
	dir := filepath.Join(t.TempDir(), "shop")
	write(t, dir, map[string]string{
		"shop.ctst": `
COMPONENT store { image = "file://./images/store" command = ["/store"] volume = "data:/data" }
COMPONENT migrate {
    image = "file://./images/migrate" command = ["/migrate"] job = true stop_timeout = "1m"
}
COMPONENT api {
    image = "file://./images/api" command = ["/api", "--listen", ":9000"] port = 9000
    env = { LOG_LEVEL = "debug", TOKEN = "${secret.token}" }
}
COMPONENT web {
    image = "file://./images/web" command = ["/web"] port = 8080
    seccomp = "unconfined" egress = []
}
CONNECT api -> store, migrate
CONNECT web -> api
EXPOSE "0.0.0.0:8443:8080" TO web
`,
		"images/store/store": "1", "images/migrate/migrate": "2", "images/api/api": "3", "images/web/web": "4",
		".containust/secrets/token": "two",
	})
	deployShop(t, dir)

	ctst := filepath.Join(t.TempDir(), "ctst")
	build(t, ctst, cliPackage)
	cmd := exec.Command(ctst, "plan", "--json")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CONTAINUST_CACHE_DIR="+filepath.Join(dir, "cache"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("ctst plan --json: %v\n%s", err, stderr.String())
	}
	got := everywhere(string(out), dir)

	path := filepath.Join("..", "docs", "plan.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "```json\n")
	want, after, ended := strings.Cut(rest, "```\n")
	if !ok || !ended {
		t.Fatalf("%s has no example of JSON", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+"```json\n"+got+"```\n"+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Fatalf("the example in %s is not what the program prints (-update rewrites it):\n%s", path, got)
	}
	for _, field := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(got, -1) {
		if !strings.Contains(before, field[1]) && !inWarnings[field[1]] {
			t.Errorf("%s does not explain %q", path, field[1])
		}
	}
}

// inWarnings are the fields that are documented elsewhere.
var inWarnings = map[string]bool{
	"code": true, "severity": true, "detail": true, "range": true, "start": true, "end": true,
	"offset": true, "line": true, "column": true,
}

// deployShop writes the state of an earlier version of the file, none of which
// runs: one component died, a job is done, one was removed from the file since.
func deployShop(t *testing.T, dir string) {
	t.Helper()
	e, err := sdk.Open(sdk.Options{Dir: dir, CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	store := state.NewStore(e.Project().StateDir)
	key, err := store.Key()
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	st := &state.State{Project: e.Project().Project, Components: map[string]*state.Component{}}
	deploy := func(want plan.Desired, status container.Status, reason string) {
		st.Components[want.Config.Name] = &state.Component{
			Spec: want.Shown, Digest: plan.Digest(key, want), Secrets: plan.Secrets(key, want), Image: want.Image,
			DependsOn: want.DependsOn, Status: status, Reason: reason, Finished: ended,
		}
	}
	for _, want := range d.Desired {
		switch want.Config.Name {
		case "store":
			deploy(want, container.StatusExited, "exited with code 3")
		case "migrate":
			want.Shown.StopTimeout = 10 * time.Second
			deploy(want, container.StatusCompleted, "")
		case "api":
			want.Config.Env = []string{"LOG_LEVEL=info", "TOKEN=one"}
			want.Shown.Env = []string{"LOG_LEVEL=info", "TOKEN=${secret.token}"}
			want.Config.Env = append(want.Config.Env, "STORE_HOST=store")
			want.Shown.Env = append(want.Shown.Env, "STORE_HOST=store")
			want.Image.Digest = "sha256:" + strings.Repeat("0", 64)
			deploy(want, container.StatusExited, "stopped")
			want.Config.Name = "cache"
			deploy(want, container.StatusExited, "stopped")
		}
	}
	if err := store.Save(st); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// everywhere replaces what differs from machine to machine.
func everywhere(text, dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		real = dir
	}
	text = strings.NewReplacer(real, "/srv/shop", dir, "/srv/shop").Replace(text)
	text = regexp.MustCompile(`"shop-[0-9a-f]{8}"`).ReplaceAllString(text, `"shop-1c9f2ab0"`)
	seen := map[string]string{}
	return regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllStringFunc(text, func(digest string) string {
		if seen[digest] == "" {
			seen[digest] = "sha256:" + strings.Repeat(fmt.Sprintf("%08x", 0x1c9f2ab0+0x11111111*len(seen)), 8)
		}
		return seen[digest]
	})
}
