package schema_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/schema"
)

func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range schema.Properties() {
		require.False(t, seen[p.Name], p.Name)
		seen[p.Name] = true
		require.NotEmpty(t, p.Doc, p.Name)
		require.NotEmpty(t, p.Type.String(), p.Name)
		require.Equal(t, p.Name, schema.Lookup(p.Name).Name)
		if p.Alternative != "" {
			require.Equal(t, p.Name, schema.Lookup(p.Alternative).Alternative)
		}
	}
	require.Nil(t, schema.Lookup("imgae"))
	require.Len(t, schema.Names(), len(schema.Properties()))
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1B": 1, "1KB": 1000, "1MB": 1_000_000, "1GB": 1_000_000_000, "1K": 1024, "1M": 1 << 20, "1G": 1 << 30, "1KiB": 1024, "256MiB": 256 << 20,
		"1.5GiB": 3 << 29, "9223372036854775807": 1<<63 - 1,
	} {
		got, problem := schema.ParseSize(text)
		require.Nil(t, problem, text)
		require.Equal(t, want, got, text)
	}
	for text, mend := range map[string]string{
		"512m": `write "512MiB"`, "1gb": `write "1GB"`, "1 MiB": "", "10mib": `write "10MiB"`, "": "", "MiB": "", "-1": "", "1.": "", ".5M": "", "1e3": "", "9223372036854775808": "", "99999999999T": "",
	} {
		_, problem := schema.ParseSize(text)
		require.NotNil(t, problem, text)
		if mend != "" {
			require.Equal(t, mend, problem.Suggestion, text)
		}
	}
}

func TestParseDuration(t *testing.T) {
	got, problem := schema.ParseDuration("1m30s")
	require.Nil(t, problem)
	require.Equal(t, 90*time.Second, got)
	for _, text := range []string{"", "10", "-1s", "1x", "0"} {
		_, problem := schema.ParseDuration(text)
		require.NotNil(t, problem, text)
	}
}

func TestParsePort(t *testing.T) {
	for text, want := range map[string]schema.Port{"1": {1, "tcp"}, "65535/tcp": {65535, "tcp"}, "53/udp": {53, "udp"}} {
		got, problem := schema.ParsePort(text)
		require.Nil(t, problem, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "0", "65536", "080", "+1", "-1", "53/UDP", "53/", "80:80", "http"} {
		_, problem := schema.ParsePort(text)
		require.NotNil(t, problem, text)
	}
}

func TestParseVolume(t *testing.T) {
	for text, want := range map[string]schema.Volume{
		"data:/var/lib": {Name: "data", Target: "/var/lib"}, "a.b_c-1:/x/:ro": {Name: "a.b_c-1", Target: "/x", ReadOnly: true},
		"./a/b:/x": {HostPath: "./a/b", Target: "/x"}, "../a:/x:rw": {HostPath: "../a", Target: "/x"}, "/a:/x/../y": {HostPath: "/a", Target: "/y"}, ".:/x": {HostPath: ".", Target: "/x"},
	} {
		got, problem := schema.ParseVolume(text)
		require.Nil(t, problem, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "data", ":/x", "data:", "data:x", "Data:/x", "-a:/x", "a/b:/x", "~/a:/x", "a:/x:z", "a:/b:ro:ro", "a:/", "a:/.."} {
		_, problem := schema.ParseVolume(text)
		require.NotNil(t, problem, text)
	}
}

func TestParseOthers(t *testing.T) {
	restart, problem := schema.ParseRestart("on-failure:3")
	require.Nil(t, problem)
	require.Equal(t, schema.Restart{Policy: "on-failure", Max: 3}, restart)
	for _, text := range []string{"", "no", "always:1", "on-failure:0", "on-failure:x"} {
		_, problem := schema.ParseRestart(text)
		require.NotNil(t, problem, text)
	}
	limit, problem := schema.ParseUlimit("1024:-1")
	require.Nil(t, problem)
	require.Equal(t, schema.Ulimit{Soft: 1024, Hard: -1}, limit)
	for _, text := range []string{"", "2:1", "-1:5", "-2", "a"} {
		_, problem := schema.ParseUlimit(text)
		require.NotNil(t, problem, text)
	}
	tmpfs, problem := schema.ParseTmpfs("/tmp/:64MiB")
	require.Nil(t, problem)
	require.Equal(t, schema.Tmpfs{Target: "/tmp", Size: 64 << 20}, tmpfs)
	for _, text := range []string{"", "tmp", "/", "/tmp:", "/tmp:x"} {
		_, problem := schema.ParseTmpfs(text)
		require.NotNil(t, problem, text)
	}
	mode, problem := schema.ParseMode("0640")
	require.Nil(t, problem)
	require.EqualValues(t, 0o640, mode)
	for _, text := range []string{"", "8", "01000", "rw"} {
		_, problem := schema.ParseMode(text)
		require.NotNil(t, problem, text)
	}
}

func TestCheckImage(t *testing.T) {
	digest := "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	for _, text := range []string{"file://root", "file://./a@b", "tar:///x.tar", "image://a:1", "oci://h/n:t@sha256:" + digest, "https://h/x.tar"} {
		require.Nil(t, schema.CheckImage(text), text)
	}
	for text, mend := range map[string]string{
		"": "", "x.tar": `write "tar://x.tar"`, "./root": `write "file://./root"`, "docker.io/a/b": `write "oci://docker.io/a/b"`, "redis:7": `write "image://redis:7" for an imported image`,
		"http://x": `write "https://"`, "docker://x": `write "oci://"`, "fiel://x": `did you mean "file://"?`, "tar://": "", "tar://x@sha256:abc": "it has 3 characters",
		"tar://x@sha256:" + digest[:63] + "F": "0–9 and a–f in lower case only",
	} {
		problem := schema.CheckImage(text)
		require.NotNil(t, problem, text)
		require.Equal(t, mend, problem.Suggestion, text)
	}
}

// What the table knows reaches the document, and comes back from its JSON.
func TestDescribe(t *testing.T) {
	text, err := json.Marshal(schema.Describe())
	require.NoError(t, err)
	var d schema.Document
	require.NoError(t, json.Unmarshal(text, &d))
	require.Equal(t, schema.Describe(), d)

	require.Len(t, d.Properties, len(schema.Names()))
	require.Len(t, d.Diagnostics, len(diag.Codes()))
	byName := map[string]schema.PropertyForm{}
	for _, p := range d.Properties {
		byName[p.Name] = p
		require.NotEmpty(t, p.Type.Kind, p.Name)
	}
	require.Equal(t, []string{"env", "param", "let", "self", "component", "secret"}, byName["env"].References)
	require.Equal(t, []string{"env", "param", "let", "self.name"}, byName["memory"].References)
	require.Equal(t, []string{"project", "none", "host"}, byName["network"].Type.Values)
	require.Equal(t, "ports", byName["port"].Alternative)
	require.EqualValues(t, 10000, *byName["cpu_weight"].Type.Max)
	require.Equal(t, "command", byName["healthcheck"].Type.Fields[0].Name)
	require.Contains(t, byName["capabilities"].Type.Elem.Values, "NET_ADMIN")
}

// Every example is a file, or stands for a value in one.
func TestExamples(t *testing.T) {
	for _, f := range schema.Statements() {
		_, found := parser.Parse("x.ctst", []byte(f.Example))
		require.Empty(t, found, f.Name)
	}
	for _, f := range append(schema.References(), schema.Literals()...) {
		value := f.Example
		if f.Name == "comment" {
			value = "1 " + value
		}
		_, found := parser.Parse("x.ctst", []byte("LET x = "+value))
		require.Empty(t, found, f.Name)
	}
}

// What is written can be read, and is what it was.
func TestFormats(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1: "1", 1000: "1KB", 1024: "1KiB", 1500: "1500", 256 << 20: "256MiB", 1e9: "1GB", 3 << 30: "3GiB", math.MaxInt64: "9223372036854775807"} {
		require.Equal(t, want, schema.FormatSize(n))
		back, problem := schema.ParseSize(want)
		require.Nil(t, problem)
		require.Equal(t, n, back)
	}
	for d, want := range map[time.Duration]string{0: "0s", time.Minute: "1m", 90 * time.Second: "1m30s", 2 * time.Hour: "2h", time.Hour + time.Second: "1h0m1s", 1500 * time.Millisecond: "1.5s"} {
		require.Equal(t, want, schema.FormatDuration(d))
		back, problem := schema.ParseDuration(want)
		require.Nil(t, problem)
		require.Equal(t, d, back)
	}
}
