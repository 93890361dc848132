package schema

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containust/containust/modules/lang/diag"
)

// units of sizes. K, M and G alone are binary.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1000, "MB": 1000 * 1000, "GB": 1000 * 1000 * 1000, "TB": 1000 * 1000 * 1000 * 1000,
	"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}

// ParseSize reads a size in bytes: "256MiB", "1.5GB", "1048576".
func ParseSize(s string) (int64, *Problem) {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || s[end] == '.') {
		end++
	}
	digits, unit := s[:end], s[end:]
	bad := &Problem{
		Code: diag.BadSize, Summary: fmt.Sprintf("%q is not a size", s), Suggestion: `write a number with its unit, such as "256MiB"`,
		Detail: "Units: KB, MB, GB (decimal), KiB, MiB, GiB (binary; K, M and G are short for them), or none for bytes.",
	}
	if mended, ok := meantUnit(unit); ok && digits != "" {
		bad.Suggestion = fmt.Sprintf("write %q", digits+mended)
	}
	factor, ok := units[unit]
	value, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || digits[0] == '.' || digits[len(digits)-1] == '.' {
		return 0, bad
	}
	if whole, err := strconv.ParseInt(digits, 10, 64); err == nil && whole <= math.MaxInt64/factor {
		return whole * factor, nil
	}
	if value*float64(factor) >= math.MaxInt64 {
		bad.Summary, bad.Suggestion, bad.Detail = fmt.Sprintf("the size %q is too large", s), "it must be less than 8388608TiB", ""
		return 0, bad
	}
	return int64(value * float64(factor)), nil
}

// meantUnit returns the unit that one in other letters means: "m" is MiB, as
// for docker.
func meantUnit(unit string) (string, bool) {
	if _, ok := units[unit]; ok {
		return "", false
	}
	trimmed := strings.TrimSpace(unit)
	switch strings.ToLower(trimmed) {
	case "k", "kib":
		return "KiB", true
	case "m", "mib":
		return "MiB", true
	case "g", "gib":
		return "GiB", true
	case "t", "tib":
		return "TiB", true
	case "kb", "mb", "gb", "tb":
		return strings.ToUpper(trimmed), true
	case "b", "bytes", "byte":
		return "", true
	}
	return "", false
}

// ParseDuration reads a duration of at least zero: "500ms", "1m30s".
func ParseDuration(s string) (time.Duration, *Problem) {
	d, err := time.ParseDuration(s)
	if err == nil && d >= 0 && s != "0" {
		return d, nil
	}
	p := &Problem{
		Code: diag.BadDuration, Summary: fmt.Sprintf("%q is not a duration", s), Suggestion: `write a number with its unit, such as "10s"`,
		Detail: `Units: ms, s, m, h; also together: "1m30s".`,
	}
	if _, err := strconv.Atoi(s); err == nil {
		p.Suggestion = fmt.Sprintf("write %q for seconds", s+"s")
	}
	if err == nil && d < 0 {
		p.Suggestion = "a duration is not negative"
	}
	return 0, p
}

// FormatSize writes a size in the largest unit that it is a whole number of:
// "256MiB", "1GB"; bytes without one.
func FormatSize(n int64) string {
	for _, unit := range []string{"GiB", "MiB", "GB", "MB", "KiB", "KB"} {
		if n != 0 && n%units[unit] == 0 {
			return strconv.FormatInt(n/units[unit], 10) + unit
		}
	}
	return strconv.FormatInt(n, 10)
}

// FormatDuration writes a duration as a person does: "1m", not "1m0s".
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Port is a port with its protocol, tcp or udp.
type Port struct {
	Number   uint16
	Protocol string
}

// ParsePort reads "80", "80/tcp" or "53/udp".
func ParsePort(s string) (Port, *Problem) {
	digits, protocol, found := strings.Cut(s, "/")
	if !found {
		protocol = "tcp"
	}
	n, ok := portNumber(digits)
	switch {
	case ok && (protocol == "tcp" || protocol == "udp"):
		return Port{Number: n, Protocol: protocol}, nil
	case ok && strings.EqualFold(protocol, "udp"), ok && strings.EqualFold(protocol, "tcp"):
		return Port{}, &Problem{Code: diag.BadPort, Summary: fmt.Sprintf("%q is not a port", s), Suggestion: fmt.Sprintf("write %q", digits+"/"+strings.ToLower(protocol))}
	case strings.Contains(s, ":"):
		return Port{}, &Problem{
			Code: diag.BadPort, Summary: fmt.Sprintf("%q is not a port", s), Suggestion: "only the port inside stands here",
			Detail: "A host port is given by EXPOSE host:container TO name.",
		}
	}
	return Port{}, &Problem{
		Code: diag.BadPort, Summary: fmt.Sprintf("%q is not a port", s), Suggestion: "a port is 1 to 65535",
		Detail: `Write 8080, or with the protocol "53/udp".`,
	}
}

func portNumber(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, false
	}
	return uint16(n), true
}

// Volume is a named volume or a host path.
type Volume struct {
	Name     string
	HostPath string // as written: relative to the file that wrote it
	Target   string
	ReadOnly bool
}

// ParseVolume reads name:/path[:ro], ./host:/path[:ro] or /host:/path[:ro].
func ParseVolume(s string) (Volume, *Problem) {
	bad := func(summary, suggestion string) (Volume, *Problem) {
		return Volume{}, &Problem{
			Code: diag.BadVolume, Summary: summary, Suggestion: suggestion,
			Detail: `A volume is "name:/path", "./host:/path" or "/host:/path", each with an optional ":ro".`,
		}
	}
	parts := strings.Split(s, ":")
	v := Volume{}
	if len(parts) == 3 {
		if parts[2] != "ro" && parts[2] != "rw" {
			return bad(fmt.Sprintf("%q is not an option of a volume", parts[2]), `only ":ro" is`)
		}
		v.ReadOnly = parts[2] == "ro"
		parts = parts[:2]
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return bad(fmt.Sprintf("%q is not a volume", s), "")
	}
	v.Target = path.Clean(parts[1])
	if parts[1][0] != '/' {
		return bad(fmt.Sprintf("the container path %q is not absolute", parts[1]), fmt.Sprintf("write %q", "/"+strings.TrimPrefix(parts[1], "./")))
	}
	if v.Target == "/" {
		return bad("a volume cannot cover the whole root file system", "")
	}
	source := parts[0]
	switch {
	case source[0] == '/' || source == "." || source == ".." || strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../"):
		v.HostPath = source
	case source[0] == '~':
		return bad(fmt.Sprintf("%q is expanded by shells only", "~"), fmt.Sprintf("write %q", "${env.HOME}"+s[1:]))
	case source[0] == '$' && len(source) > 1:
		name, rest, _ := strings.Cut(source[1:], "/")
		if rest != "" {
			rest = "/" + rest
		}
		return bad(fmt.Sprintf("%q is replaced by shells only", "$"+name), fmt.Sprintf("write %q", "${env."+name+"}"+rest+s[len(source):]))
	case strings.Contains(source, "/"):
		return bad(fmt.Sprintf("%q is neither a name nor a path", source), fmt.Sprintf("write %q for a host path", "./"+source))
	case !volumeName(source):
		return bad(fmt.Sprintf("%q is not a name of a volume", source), "names have a–z, 0–9, _, . and -, and start with a letter or digit")
	default:
		v.Name = source
	}
	return v, nil
}

// hostVolume tells whether a volume is a path of the host.
func hostVolume(s string) bool {
	v, _ := ParseVolume(s)
	return v.HostPath != ""
}

func volumeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || i > 0 && (c == '_' || c == '.' || c == '-')) {
			return false
		}
	}
	return len(s) <= 128
}

// Tmpfs is a folder in memory; Size 0 is the kernel's default.
type Tmpfs struct {
	Target string
	Size   int64
}

// ParseTmpfs reads "/tmp" or "/tmp:64MiB".
func ParseTmpfs(s string) (Tmpfs, *Problem) {
	target, size, found := strings.Cut(s, ":")
	if p := checkAbsolute(target); p != nil {
		return Tmpfs{}, p
	}
	t := Tmpfs{Target: path.Clean(target)}
	if t.Target == "/" {
		return Tmpfs{}, &Problem{Code: diag.BadPath, Summary: "a tmpfs cannot cover the whole root file system", Suggestion: "name a folder below it"}
	}
	if !found {
		return t, nil
	}
	var p *Problem
	if t.Size, p = ParseSize(strings.TrimPrefix(size, "size=")); p != nil {
		return Tmpfs{}, p
	}
	return t, nil
}

// ParseMode reads permission bits in octal: "0444".
func ParseMode(s string) (uint32, *Problem) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a file mode", s), Suggestion: `write octal digits, such as "0444"`}
	}
	return uint32(n), nil
}

// Restart is a restart policy; Max 0 is no bound.
type Restart struct {
	Policy string
	Max    int
}

var restartPolicies = []string{"never", "on-failure", "always", "unless-stopped"}

// ParseRestart reads never, on-failure[:max], always or unless-stopped.
func ParseRestart(s string) (Restart, *Problem) {
	policy, count, found := strings.Cut(s, ":")
	bad := &Problem{
		Code: diag.NotOneOf, Summary: fmt.Sprintf("%q is not a restart policy", s),
		Detail: `The policies are "never", "on-failure", "on-failure:5", "always" and "unless-stopped".`,
	}
	r := Restart{Policy: policy}
	if found {
		n, err := strconv.ParseUint(count, 10, 31)
		if err != nil || n == 0 || policy != "on-failure" {
			return Restart{}, bad
		}
		r.Max = int(n)
	}
	if slices.Contains(restartPolicies, policy) {
		return r, nil
	}
	near := diag.Nearest(policy, restartPolicies)
	if policy == "no" {
		near = "never"
	}
	if near != "" {
		bad.Suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	return Restart{}, bad
}

var ulimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

// Ulimits returns the names of limits, as ulimit(1) has them. The list must not
// be changed.
func Ulimits() []string { return ulimitNames }

// Ulimit is a soft and a hard limit; -1 is unlimited.
type Ulimit struct{ Soft, Hard int64 }

// ParseUlimit reads "1024" or "1024:4096".
func ParseUlimit(s string) (Ulimit, *Problem) {
	soft, hard, found := strings.Cut(s, ":")
	if !found {
		hard = soft
	}
	a, errA := strconv.ParseInt(soft, 10, 64)
	b, errB := strconv.ParseInt(hard, 10, 64)
	bad := &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a limit", s), Suggestion: `write 1024, or "1024:4096" for soft and hard; -1 is unlimited`}
	if errA != nil || errB != nil || a < -1 || b < -1 {
		return Ulimit{}, bad
	}
	if b != -1 && (a == -1 || a > b) {
		bad.Summary, bad.Suggestion = fmt.Sprintf("in %q the soft limit is above the hard one", s), fmt.Sprintf("write %q", hard+":"+soft)
		return Ulimit{}, bad
	}
	return Ulimit{Soft: a, Hard: b}, nil
}

func checkUlimit(s string) *Problem {
	_, p := ParseUlimit(s)
	return p
}
