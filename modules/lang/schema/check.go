package schema

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

var schemes = []string{"file", "tar", "image", "oci", "https"}

// CheckImage checks the URI of an image.
func CheckImage(s string) *Problem {
	bad := &Problem{
		Code: diag.BadSource, Summary: fmt.Sprintf("%q is not the URI of an image", s),
		Detail: "Images are file://dir, tar://archive, image://name, oci://registry/name:tag or https://….tar.",
	}
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		bad.Suggestion = meantScheme(s)
		return bad
	}
	if !slices.Contains(schemes, scheme) {
		bad.Summary = fmt.Sprintf("unknown scheme %q", scheme+"://")
		switch near := diag.Nearest(scheme, schemes); {
		case scheme == "http":
			bad.Suggestion = `write "https://"`
		case scheme == "docker":
			bad.Suggestion = `write "oci://"`
		case near != "":
			bad.Suggestion = fmt.Sprintf("did you mean %q?", near+"://")
		}
		return bad
	}
	name, digest, pinned := strings.Cut(rest, "@sha256:")
	if pinned && !IsDigest(digest) {
		bad.Summary = "the digest behind @sha256: is not 64 hex digits"
		bad.Suggestion = fmt.Sprintf("it has %d characters", len(digest))
		bad.Detail = "Without it, ctst plan --json tells the digest that the image has."
		if len(digest) == 64 {
			bad.Suggestion = "0–9 and a–f in lower case only"
		}
		return bad
	}
	if name == "" {
		bad.Summary = fmt.Sprintf("%q names nothing", s)
		return bad
	}
	return nil
}

// localImage tells whether an image lies on this machine's disk.
func localImage(uri string) bool {
	scheme, _, _ := strings.Cut(uri, "://")
	return scheme == "file" || scheme == "tar"
}

// meantScheme guesses what an image without a scheme was meant to be.
func meantScheme(s string) string {
	switch {
	case s == "":
		return ""
	case strings.Contains(path.Base(s), ".tar") || strings.HasSuffix(s, ".tgz"):
		return fmt.Sprintf("write %q", "tar://"+s)
	case s[0] == '.' || s[0] == '/':
		return fmt.Sprintf("write %q", "file://"+s)
	case strings.Contains(s, "/") && strings.ContainsAny(s[:strings.Index(s, "/")], ".:"):
		return fmt.Sprintf("write %q", "oci://"+s)
	default:
		return fmt.Sprintf("write %q for an imported image", "image://"+s)
	}
}

// IsDigest tells whether s is the hex form of a SHA-256.
func IsDigest(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}

func enum(values ...string) *Type {
	t := text(func(s string) *Problem {
		if slices.Contains(values, s) {
			return nil
		}
		p := &Problem{
			Code: diag.NotOneOf, Summary: fmt.Sprintf("%q is not one of the values", s),
			Detail: "The values are " + quotedList(values) + ".",
		}
		if near := diag.Nearest(s, values); near != "" {
			p.Suggestion = fmt.Sprintf("did you mean %q?", near)
		}
		return p
	})
	t.Values = values
	return t
}

func quotedList(values []string) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i == 0:
		case i == len(values)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", v)
	}
	return b.String()
}

func checkAbsolute(s string) *Problem {
	if strings.HasPrefix(s, "/") && strings.IndexByte(s, 0) < 0 {
		return nil
	}
	return &Problem{
		Code: diag.BadPath, Summary: fmt.Sprintf("%q is not an absolute path", s),
		Suggestion: fmt.Sprintf("write %q", "/"+strings.TrimPrefix(s, "./")), Detail: "Paths inside a component start with /.",
	}
}

// CheckTarget checks the path of a file inside a component.
func CheckTarget(s string) *Problem {
	if p := checkAbsolute(s); p != nil {
		return p
	}
	if path.Clean(s) == "/" || strings.HasSuffix(s, "/") {
		p := &Problem{Code: diag.BadPath, Summary: fmt.Sprintf("%q is not the path of a file", s), Suggestion: "name a file"}
		if trimmed := strings.TrimRight(s, "/"); trimmed != "" {
			p.Suggestion = fmt.Sprintf("write %q", trimmed)
		}
		return p
	}
	return nil
}

// CheckVariable checks the name of an environment variable.
func CheckVariable(s string) *Problem {
	if s == "" || strings.ContainsAny(s, "=\x00 \t\n") {
		return &Problem{
			Code: diag.BadVariableName, Summary: fmt.Sprintf("%q is not a name of an environment variable", s),
			Detail: "Names have letters, digits and _, and no = or blank.",
		}
	}
	return nil
}

func checkNotEmpty(s string) *Problem {
	if s == "" {
		return &Problem{Code: diag.BadText, Summary: "the text is empty", Suggestion: "remove it, or say what it should be"}
	}
	return nil
}

// checkProfile refuses what looks like a word for "no profile", and would be taken
// for the path of one.
func checkProfile(s string) *Problem {
	switch s {
	case "none", "off", "disabled", "false":
		return &Problem{
			Code: diag.BadText, Summary: fmt.Sprintf("%q is not a system call profile", s), Suggestion: `write "unconfined" to filter no system call`,
			Detail: fmt.Sprintf("A file of that name is %q.", "./"+s),
		}
	}
	return checkNotEmpty(s)
}

func checkUser(s string) *Problem {
	user, group, found := strings.Cut(s, ":")
	if user == "" || found && group == "" || strings.ContainsAny(s, " \t\n\x00/") || strings.Contains(group, ":") {
		return &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a user", s), Suggestion: `write a name, a uid or "uid:gid"`}
	}
	return nil
}

func checkHostname(s string) *Problem {
	ok := s != "" && len(s) <= 63 && s[0] != '-' && s[0] != '.' && s[len(s)-1] != '-'
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_')
	}
	if ok {
		return nil
	}
	return &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a host name", s), Detail: "Up to 63 letters, digits, - and dots."}
}

func checkProtocol(s string) *Problem {
	ok := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.')
	}
	if ok {
		return nil
	}
	p := &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a protocol", s), Detail: `The scheme alone: "postgresql", "https".`}
	if scheme, _, found := strings.Cut(s, "://"); found && scheme != "" {
		p.Suggestion = fmt.Sprintf("write %q", scheme)
	}
	return p
}

func checkSecretName(s string) *Problem {
	ok := s != "" && len(s) <= 128 && s[0] != '-' && s[len(s)-1] != '-'
	for i := range len(s) {
		c := s[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' && i > 0 || c == '-' || c == '_')
	}
	if ok {
		return nil
	}
	p := &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a name of a secret", s), Detail: "Letters, digits, _ and, inside, -."}
	if base := path.Base(s); base != s && checkSecretName(base) == nil {
		p.Suggestion = fmt.Sprintf("write %q", base)
	}
	return p
}

func checkHTTP(s string) *Problem {
	bad := &Problem{Code: diag.BadText, Summary: fmt.Sprintf("%q is not a port with a path", s), Suggestion: `write ":8080/healthz"`}
	rest, found := strings.CutPrefix(s, ":")
	if !found {
		if _, address, ok := strings.Cut(s, "://"); ok {
			if colon := strings.IndexByte(address, ':'); colon >= 0 {
				bad.Suggestion = fmt.Sprintf("write %q", address[colon:])
			}
			bad.Detail = "The check is made inside, so that it names no host."
		}
		return bad
	}
	digits, _, _ := strings.Cut(rest, "/")
	if _, ok := portNumber(digits); !ok || strings.ContainsAny(s, " \t\n\r\x00") {
		return bad
	}
	return nil
}

// checkEgress checks [tcp:|udp:]target[:port], where the target is an address,
// a network or a name.
func checkEgress(s string) *Problem {
	bad := &Problem{
		Code: diag.BadText, Summary: fmt.Sprintf("%q is not a target", s),
		Detail: `Targets are "tcp:10.0.0.0/8:443", "example.org:443" or "192.168.1.7"; IPv6 stands in brackets.`,
	}
	rest := s
	for _, protocol := range []string{"tcp:", "udp:"} {
		rest = strings.TrimPrefix(rest, protocol)
	}
	if strings.Contains(rest, "://") {
		return bad
	}
	host, port := rest, ""
	if inside, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); ok && rest[0] == '[' {
		host, port = inside, strings.TrimPrefix(after, ":")
		if strings.HasPrefix(after, "/") {
			length, p, _ := strings.Cut(after, ":")
			host, port = inside+length, p
		}
	} else if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, port = rest[:i], rest[i+1:]
		if port == "" {
			return bad
		}
	}
	if port != "" {
		if _, ok := portNumber(port); !ok {
			return bad
		}
	}
	if _, err := netip.ParsePrefix(host); err == nil {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if p := checkHostname(strings.TrimPrefix(host, "*.")); p != nil && len(host) <= 63 || host == "" || strings.Contains(host, "/") {
		return bad
	}
	return nil
}

// signals are those that a program may be stopped with.
var signals = []string{
	"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGABRT", "SIGALRM", "SIGCONT", "SIGPIPE", "SIGSTOP", "SIGTSTP",
}

func checkSignal(s string) *Problem {
	if slices.Contains(signals, s) {
		return nil
	}
	p := &Problem{Code: diag.NotOneOf, Summary: fmt.Sprintf("%q is not a signal", s), Detail: `Signals are written as "SIGTERM", "SIGINT", "SIGQUIT".`}
	upper := strings.ToUpper(s)
	if !strings.HasPrefix(upper, "SIG") {
		upper = "SIG" + upper
	}
	if slices.Contains(signals, upper) {
		p.Suggestion = fmt.Sprintf("write %q", upper)
	} else if near := diag.Nearest(upper, signals); near != "" {
		p.Suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// capabilities are those of Linux 6.1, without their CAP_.
var capabilities = []string{
	"AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH",
	"FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT",
	"SYS_MODULE", "SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM",
}

// checkCapability takes names with and without CAP_, and the preset.
func checkCapability(s string) *Problem {
	bare := strings.TrimPrefix(s, "CAP_")
	if s == "docker" || slices.Contains(capabilities, bare) {
		return nil
	}
	p := &Problem{Code: diag.NotOneOf, Summary: fmt.Sprintf("%q is not a capability", s), Detail: `Capabilities are written as "NET_ADMIN"; "docker" stands for docker's default set.`}
	upper := strings.TrimPrefix(strings.ToUpper(bare), "CAP_")
	if slices.Contains(capabilities, upper) {
		p.Suggestion = fmt.Sprintf("write %q", upper)
	} else if near := diag.Nearest(upper, capabilities); near != "" {
		p.Suggestion = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

func checkDevice(s string) *Problem {
	switch path, rest, mapped := strings.Cut(s, ":"); {
	case !strings.Contains(path, "/") && path != "":
		return &Problem{Code: diag.BadPath, Summary: fmt.Sprintf("%q is not the path of a device", s), Suggestion: fmt.Sprintf("write %q", "/dev/"+path)}
	case !strings.HasPrefix(path, "/dev/"):
		return &Problem{Code: diag.BadPath, Summary: fmt.Sprintf("%q is not a device", s), Suggestion: `write a path such as "/dev/fuse"`}
	case mapped:
		return &Problem{
			Code: diag.BadPath, Summary: fmt.Sprintf("%q does not belong to the path of a device", ":"+rest), Suggestion: fmt.Sprintf("write %q", path),
			Detail: "A device has the same path inside as outside.",
		}
	}
	return nil
}
