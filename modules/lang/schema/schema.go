// Package schema is the table of what a component may say: each property with
// its type, its default, a line of documentation and its check. Checking,
// suggestions, `ctst schema` and the reference page all read this table.
//
//	for _, p := range schema.Properties() {
//		fmt.Println(p.Name, p.Type, p.Default, p.Doc)
//	}
//
// It runs on every platform, needs no privileges, and may be used from any
// number of goroutines.
package schema

import (
	"math"

	"github.com/containust/containust/modules/lang/diag"
)

// Kind is the shape of a value.
type Kind int

// The kinds.
const (
	Text     Kind = iota
	Bool          // true or false
	Int           // a whole number, between Min and Max
	Decimal       // a number, or its text
	Number        // a number as it is written
	Size          // bytes: text with a unit, or a number
	Duration      // text as of Go's time.ParseDuration
	List          // of Elem
	Map           // of Fields, or with any keys of Elem
	Choice        // one of Any
)

// Type says what a value must be.
type Type struct {
	Kind     Kind
	Name     string // for people: "a list of strings"
	Min, Max int64  // of Int; of Size and Decimal the least
	Check    func(text string) *Problem
	Local    func(text string) bool // of Text: whether it reaches for this machine, which a fetched file may not; nil: never
	Values   []string               // of Text: the values that have a name, for editors; others may pass Check too
	Elem     *Type
	Fields   []Property
	Key      func(key string) *Problem // of Map with any keys: their check; nil: none
	Any      []*Type
}

// String returns the type's name for people.
func (t *Type) String() string { return t.Name }

// Field returns the field of that name of a Map with fields, or nil.
func (t *Type) Field(name string) *Property {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return &t.Fields[i]
		}
	}
	return nil
}

// Problem is why a text is not what it must be.
type Problem struct {
	Code       diag.Code
	Summary    string
	Suggestion string
	Detail     string
}

// Property is one property of a component, or one key of such a property.
type Property struct {
	Name        string
	Type        *Type
	Default     string // for people; empty: none
	Doc         string // one line
	Alternative string // the property that says the same in another way

	// What may be referred to, besides env, param, let and self.name.
	Components bool // ${db.host} and the like, and all of self
	Self       bool // all of self
	Secrets    bool // ${secret.x}
}

func text(check func(string) *Problem) *Type {
	return &Type{Kind: Text, Name: "a string", Check: check}
}

// local marks what reaches for this machine. An image, a volume and a network
// do so in some of their forms, everything else in each.
func local(t *Type, when func(string) bool) *Type {
	t.Local = when
	return t
}

func always(string) bool { return true }

func integer(low, high int64) *Type {
	return &Type{Kind: Int, Name: "a whole number", Min: low, Max: high}
}

func list(elem *Type, name string) *Type {
	return &Type{Kind: List, Name: name, Elem: elem}
}

func oneOf(name string, types ...*Type) *Type {
	return &Type{Kind: Choice, Name: name, Any: types}
}

func fields(properties ...Property) *Type {
	return &Type{Kind: Map, Name: "a map", Fields: properties}
}

func open(elem *Type, name string, key func(string) *Problem) *Type {
	return &Type{Kind: Map, Name: name, Elem: elem, Key: key}
}

var (
	boolean  = &Type{Kind: Bool, Name: "true or false"}
	anyText  = text(nil)
	textList = list(anyText, "a list of strings")
	size     = &Type{Kind: Size, Name: `a size such as "256MiB"`, Min: 1}
	number   = &Type{Kind: Number, Name: "a number"}
	duration = &Type{Kind: Duration, Name: `a duration such as "10s"`}
	port     = oneOf(`a port such as 8080 or "53/udp"`, integer(1, 65535), text(check(ParsePort)))
	scalar   = oneOf("a string, a number or a bool", anyText, number, boolean)
)

// check makes the check of a parser of text.
func check[T any](parse func(string) (T, *Problem)) func(string) *Problem {
	return func(s string) *Problem {
		_, problem := parse(s)
		return problem
	}
}

var properties = []Property{
	{Name: "image", Type: local(text(CheckImage), localImage), Default: "required", Doc: "where the root file system comes from: file://dir, tar://archive, image://name, oci://registry/name:tag, https://….tar, each with an optional @sha256:<64 hex>"},
	{Name: "enabled", Type: boolean, Default: "true", Doc: "false: checked, but not deployed"},
	{Name: "command", Type: textList, Default: "the image's own", Doc: "the arguments; argv is entrypoint + command, and no shell is ever inserted", Components: true},
	{Name: "entrypoint", Type: textList, Default: "the image's own", Doc: "the program and its first arguments", Components: true},
	{Name: "env", Type: open(scalar, "a map of strings, numbers and bools", CheckVariable), Default: "{}", Doc: "environment variables", Components: true, Secrets: true},
	{Name: "workdir", Type: text(checkAbsolute), Default: "the image's own", Doc: "the folder that the program starts in"},
	{Name: "user", Type: text(checkUser), Default: "the image's own", Doc: "a name, a uid or uid:gid, looked up in the image's own passwd"},
	{Name: "hostname", Type: text(checkHostname), Default: "the component's name", Doc: "the host name inside"},
	{Name: "port", Type: port, Doc: "the port that it listens on, 1–65535 or \"53/udp\"", Alternative: "ports"},
	{Name: "ports", Type: list(port, "a list of ports"), Doc: "the ports that it listens on", Alternative: "port"},
	{Name: "protocol", Type: text(checkProtocol), Default: "from the image's name and the port", Doc: "the scheme of the connection string"},
	{Name: "connection_string", Type: anyText, Default: "protocol://host:port", Doc: "what PREFIX_CONNECTION_STRING holds for those who connect", Self: true, Secrets: true},
	{Name: "volume", Type: local(text(check(ParseVolume)), hostVolume), Doc: "name:/path[:ro], ./host:/path[:ro] or /host:/path[:ro]", Alternative: "volumes"},
	{Name: "volumes", Type: list(local(text(check(ParseVolume)), hostVolume), "a list of volumes"), Doc: "each name:/path[:ro], ./host:/path[:ro] or /host:/path[:ro]", Alternative: "volume"},
	{Name: "tmpfs", Type: list(text(check(ParseTmpfs)), "a list of paths"), Default: `["/tmp", "/run", "/var/tmp"]`, Doc: "writable folders in memory: \"/tmp\" or \"/tmp:64MiB\"; [] for none"},
	{Name: "files", Type: open(oneOf("text, or { source = \"./file\" }", anyText, fields(
		Property{Name: "source", Type: local(text(checkNotEmpty), always), Doc: "the host file to copy"},
		Property{Name: "mode", Type: text(check(ParseMode)), Default: `"0444"`, Doc: "permission bits"},
	)), "a map of paths to texts", CheckTarget), Doc: "read-only files: path → text, or { source = \"./ca.pem\", mode = \"0444\" }", Components: true, Secrets: true},
	{Name: "secrets", Type: list(local(text(checkSecretName), always), "a list of names"), Doc: "files under /run/secrets/<name>, mode 0400"},
	{Name: "readonly", Type: boolean, Default: "true", Doc: "the root file system cannot be written"},
	{Name: "memory", Type: size, Doc: "the most memory it may use: \"256MiB\", \"1GB\""},
	{Name: "memory_swap", Type: &Type{Kind: Size, Name: size.Name}, Doc: "the most swap beside memory; none without it"},
	{Name: "cpu", Type: &Type{Kind: Decimal, Name: "a number of CPUs"}, Doc: "hard limit in CPUs: 0.5, 2"},
	{Name: "cpu_weight", Type: integer(1, 10000), Default: "the kernel's", Doc: "share of the CPUs under load, 1–10000"},
	{Name: "pids", Type: integer(1, math.MaxInt32), Default: "4096", Doc: "the most processes"},
	{Name: "io", Type: fields(
		Property{Name: "device", Type: local(text(checkDevice), always), Doc: "the block device; without it the one of the store"},
		Property{Name: "weight", Type: integer(1, 10000), Doc: "share under load"},
		Property{Name: "read_bps", Type: size, Doc: "bytes read a second"},
		Property{Name: "write_bps", Type: size, Doc: "bytes written a second"},
		Property{Name: "read_iops", Type: integer(1, math.MaxInt64), Doc: "reads a second"},
		Property{Name: "write_iops", Type: integer(1, math.MaxInt64), Doc: "writes a second"},
	), Doc: "limits of block devices"},
	{Name: "ulimits", Type: open(oneOf(`a number or "soft:hard"`, integer(-1, math.MaxInt64), text(checkUlimit)), "a map of limits", nil), Doc: "nofile = 1024 or \"1024:4096\"; -1 is unlimited"},
	{Name: "network", Type: local(enum("project", "none", "host"), func(s string) bool { return s == "host" }), Default: `"project"`, Doc: "project, none or host"},
	{Name: "offline", Type: boolean, Default: "false", Doc: "reaches its connections, never the outside"},
	{Name: "egress", Type: list(text(checkEgress), "a list of targets"), Default: "everything, unless offline", Doc: "what outside it may reach: \"tcp:10.0.0.0/8:443\", \"example.org:443\"; [] is nothing"},
	{Name: "restart_unhealthy", Type: boolean, Default: "false", Doc: "restarted as its policy says when it is unhealthy"},
	{Name: "restart", Type: &Type{Kind: Text, Name: "a string", Check: check(ParseRestart), Values: restartPolicies}, Default: `"never"`, Doc: "never, on-failure[:max], always or unless-stopped"},
	{Name: "job", Type: boolean, Default: "false", Doc: "runs to completion; dependants start when it has exited with 0"},
	{Name: "healthcheck", Type: fields(
		Property{Name: "command", Type: textList, Doc: "runs inside; 0 is healthy"},
		Property{Name: "http", Type: text(checkHTTP), Doc: "\":8080/path\"; 2xx and 3xx are healthy"},
		Property{Name: "tcp", Type: integer(1, 65535), Doc: "the port that must accept"},
		Property{Name: "interval", Type: duration, Default: `"10s"`, Doc: "between two checks"},
		Property{Name: "timeout", Type: duration, Default: `"3s"`, Doc: "of one check"},
		Property{Name: "retries", Type: integer(1, math.MaxInt32), Default: "3", Doc: "failures in a row until unhealthy"},
		Property{Name: "start_period", Type: duration, Default: `"0s"`, Doc: "failures in it do not count"},
	), Doc: "one of command, http and tcp, with interval, timeout, retries, start_period", Components: true},
	{Name: "stop_signal", Type: &Type{Kind: Text, Name: "a string", Check: checkSignal, Values: signals}, Default: `"SIGTERM"`, Doc: "asks the program to stop"},
	{Name: "stop_timeout", Type: duration, Default: `"10s"`, Doc: "until it is killed"},
	{Name: "capabilities", Type: list(&Type{Kind: Text, Name: "a string", Check: checkCapability, Local: always, Values: append([]string{"docker"}, capabilities...)}, "a list of capabilities"), Default: "[]", Doc: "added to an empty set; \"docker\" stands for docker's default set"},
	{Name: "seccomp", Type: &Type{Kind: Text, Name: "a string", Check: checkProfile, Local: always, Values: []string{"default", "unconfined"}}, Default: `"default"`, Doc: "default, unconfined, or the path of an OCI profile"},
	{Name: "devices", Type: list(local(text(checkDevice), always), "a list of paths"), Doc: "device nodes by path"},
	{Name: "labels", Type: open(scalar, "a map of strings", nil), Doc: "free text, never policy"},
	{Name: "init", Type: boolean, Default: "false", Doc: "a minimal init as pid 1"},
	{Name: "distroless", Type: oneOf("a bool or a map", boolean, fields(
		Property{Name: "include", Type: textList, Doc: "globs of further files to keep"},
		Property{Name: "binaries", Type: textList, Doc: "further programs to keep with what they need"},
	)), Default: "false", Doc: "keep only what the entry point needs"},
}

var index = func() map[string]*Property {
	m := map[string]*Property{}
	for i := range properties {
		m[properties[i].Name] = &properties[i]
	}
	return m
}()

var names = func() []string {
	var list []string
	for _, p := range properties {
		list = append(list, p.Name)
	}
	return list
}()

// Properties returns the table, in the order of the reference page. It must
// not be changed.
func Properties() []Property { return properties }

// Names returns the names of all properties. It must not be changed.
func Names() []string { return names }

// Lookup returns the property of that name, or nil.
func Lookup(name string) *Property { return index[name] }
