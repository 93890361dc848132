package compose

import (
	"fmt"
	"strconv"
	"strings"
)

// A variable that is kept travels through compose-go as its number between two
// characters of the private use area, which no file may have then.
const (
	opening = '\uE000'
	closing = '\uE001'
)

// variable is a reference of the source: ${env.NAME}, ${env.NAME:-fallback} or
// ${secret.NAME}.
type variable struct {
	name     string
	fallback string
	optional bool // has a fallback, which may be empty
	secret   bool
	now      string // stands for it where a text must be looked at
}

// blank tells whether nothing stands in place of a variable that is not set.
func (v variable) blank() bool { return v.optional && v.fallback == "" }

// scope is where the variables of one file come from. An included file may have
// environment files of its own.
type scope struct {
	own map[string]string
}

func (l *loader) lookup(sc *scope, name string) (string, bool) {
	if v, ok := l.opts.LookupEnv(name); ok {
		return v, true
	}
	if v, ok := l.env[name]; ok {
		return v, true
	}
	if name == projectName {
		return l.project, true
	}
	v, ok := sc.own[name]
	return v, ok
}

// keep returns what stands for a reference until it is written.
func (l *loader) keep(v variable) string {
	l.kept = append(l.kept, v)
	return string(opening) + strconv.Itoa(len(l.kept)-1) + string(closing)
}

// references calls text and reference for the pieces of s.
func (l *loader) references(s string, text func(string), reference func(*variable)) {
	for {
		before, rest, found := strings.Cut(s, string(opening))
		text(before)
		if !found {
			return
		}
		number, after, _ := strings.Cut(rest, string(closing))
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(l.kept) {
			return // compose-go cut the text in two; it is not a value any more
		}
		reference(&l.kept[n])
		s = after
	}
}

// expand returns s with what the variables are now.
func (l *loader) expand(s string) string {
	var b strings.Builder
	l.references(s, func(t string) { b.WriteString(t) }, func(v *variable) { b.WriteString(v.now) })
	return b.String()
}

func refers(s string) bool { return strings.ContainsRune(s, opening) }

// expression is one $… of a Compose file.
type expression struct {
	name     string
	operator string // "", ":-", "-", ":?", "?", ":+", "+"
	word     string // behind the operator
	length   int    // of the text
}

// parseExpression reads the expression that s starts with. $$ has no name and
// length 2; length 0: it is none.
func parseExpression(s string) expression {
	switch {
	case len(s) < 2:
		return expression{}
	case s[1] == '$':
		return expression{length: 2}
	case s[1] != '{':
		n := nameLength(s[1:])
		if n == 0 {
			return expression{}
		}
		return expression{name: s[1 : 1+n], length: 1 + n}
	}
	end, depth := 0, 0
	for i := 1; i < len(s) && end == 0; i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				end = i
			}
		}
	}
	if end == 0 {
		return expression{}
	}
	inside := s[2:end]
	n := nameLength(inside)
	if n == 0 {
		return expression{}
	}
	e := expression{name: inside[:n], word: inside[n:], length: end + 1}
	for _, op := range []string{":-", "-", ":?", "?", ":+", "+"} {
		if word, ok := strings.CutPrefix(e.word, op); ok {
			e.operator, e.word = op, word
			return e
		}
	}
	if e.word != "" {
		return expression{}
	}
	return e
}

// nameLength returns the length of the name that s starts with.
func nameLength(s string) int {
	n := 0
	for n < len(s) {
		c := s[n]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (n == 0 || c < '0' || c > '9') {
			break
		}
		n++
	}
	return n
}

// maxNesting bounds defaults in defaults.
const maxNesting = 32

// substitute replaces the variables of s by their values, as Compose does.
func (l *loader) substitute(s string, at place, sc *scope, depth int) (string, error) {
	return eachExpression(s, at, func(e expression) (string, error) {
		l.replaced.note(e.name, at)
		return l.valueOf(e, at, sc, depth)
	})
}

// eachExpression replaces every $… of s. $$ is a $.
func eachExpression(s string, at place, replace func(expression) (string, error)) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '$')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		b.WriteString(s[:i])
		e := parseExpression(s[i:])
		switch {
		case e.length == 0 && !strings.HasPrefix(s[i:], "${"):
			b.WriteByte('$') // in front of nothing that could be a name
			e.length = 1
		case e.length == 0:
			return "", at.errorf("%q is not a variable; a $ that means itself is written as $$", s[i:min(len(s), i+20)])
		case e.name == "":
			b.WriteByte('$')
		default:
			text, err := replace(e)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		}
		s = s[i+e.length:]
	}
}

func (l *loader) valueOf(e expression, at place, sc *scope, depth int) (string, error) {
	if depth > maxNesting {
		return "", at.errorf("variables nested deeper than %d", maxNesting)
	}
	value, set := l.lookup(sc, e.name)
	present := set && (value != "" || !strings.HasPrefix(e.operator, ":"))
	switch strings.TrimPrefix(e.operator, ":") {
	case "-":
		if !present {
			return l.substitute(e.word, at, sc, depth+1)
		}
	case "+":
		if present {
			return l.substitute(e.word, at, sc, depth+1)
		}
	case "?":
		if !present {
			reason, err := l.substitute(e.word, at, sc, depth+1)
			if err != nil {
				return "", err
			}
			return "", at.errorf("the variable %s is required here and not set: %s", e.name, reason)
		}
	}
	if err := l.take(0, len(value), at); err != nil {
		return "", err
	}
	return value, unmarked(value, at)
}

// unmarked refuses the characters that stand for variables here.
func unmarked(s string, at place) error {
	if strings.ContainsAny(s, string(opening)+string(closing)) {
		return at.errorf("the characters U+E000 and U+E001 cannot be converted: remove them")
	}
	return nil
}

// interpolate replaces or keeps the variables of a value.
func (l *loader) interpolate(s string, at place, path []string, sc *scope) (string, error) {
	if !strings.ContainsRune(s, '$') {
		return s, nil
	}
	if len(path) > 0 && strings.HasPrefix(path[0], "x-") {
		return s, nil // what an alias takes from there is read where it is used
	}
	if !keepable(path, s) {
		return l.substitute(s, at, sc, 0)
	}
	return eachExpression(s, at, func(e expression) (string, error) {
		if v, ok := l.reference(e, sc); ok && (!words(path) || isWord(v)) {
			if err := l.take(0, len(v.now), at); err != nil {
				return "", err
			}
			if path[2] == "image" {
				return l.keep(v), nil // imageURI says what is to say
			}
			return l.keepAt(v, at), nil
		}
		l.replaced.note(e.name, at)
		return l.valueOf(e, at, sc, 0)
	})
}

// keepable tells whether .ctst can have a reference in the place of a value.
func keepable(path []string, s string) bool {
	if len(path) == 3 && path[0] == "configs" && path[2] == "content" {
		return true
	}
	if len(path) < 3 || path[0] != "services" {
		return false
	}
	switch path[2] {
	case "image", "command", "entrypoint", "user", "working_dir", "hostname":
		return true
	case "healthcheck":
		return len(path) > 3 && path[3] == "test"
	case "environment", "labels":
		// An entry of a list is NAME=value, and names are never references.
		name, _, isPair := strings.Cut(s, "=")
		return len(path) == 4 && (!isIndex(path[3]) || isPair && !strings.ContainsRune(name, '$'))
	}
	return false
}

// words tells whether a value will be split into words.
func words(path []string) bool {
	return len(path) == 3 && (path[2] == "command" || path[2] == "entrypoint")
}

// isWord tells whether a variable stays one word of a command line, as far as
// can be known.
func isWord(v variable) bool {
	return v.now != "" && !strings.ContainsAny(v.now, " \t\n\"'\\`$&|;<>()")
}

// reference returns the reference that says the same in .ctst.
func (l *loader) reference(e expression, sc *scope) (variable, bool) {
	if _, own := sc.own[e.name]; own || e.name == projectName {
		return variable{}, false
	}
	now, set := l.lookup(sc, e.name)
	v := variable{name: e.name, now: now}
	switch e.operator {
	case "", ":-", "-":
		if strings.ContainsAny(e.word, "$}\x00") {
			return variable{}, false
		}
		if _, inFile := l.env[e.name]; inFile {
			return v, true
		}
		v.optional, v.fallback = true, e.word
		if now == "" {
			v.now = e.word
		}
		return v, true
	case ":?", "?":
		if !set {
			v.now = "x"
		}
		return v, true
	}
	return variable{}, false
}

// keepAt keeps a variable, and notes what has to be said about it.
func (l *loader) keepAt(v variable, at place) string {
	if _, inFile := l.env[v.name]; inFile {
		l.needed.note(v.name, at)
	} else if v.blank() {
		l.blank.note(v.name, at)
	}
	return l.keep(v)
}

// publish returns the long form of a port whose host side is one variable, so
// that the variable can be kept: "127.0.0.1:${PORT:-8080}:80/udp".
func (l *loader) publish(s string, at place, sc *scope) (map[string]any, bool) {
	i := strings.IndexByte(s, '$')
	if i < 0 {
		return nil, false
	}
	e := parseExpression(s[i:])
	if e.name == "" {
		return nil, false
	}
	address, inside := s[:i], s[i+e.length:]
	target, protocol, _ := strings.Cut(strings.TrimPrefix(inside, ":"), "/")
	port, err := strconv.ParseUint(target, 10, 16)
	if err != nil || !strings.HasPrefix(inside, ":") || address != "" && !strings.HasSuffix(address, ":") {
		return nil, false
	}
	v, ok := l.reference(e, sc)
	if n, err := strconv.ParseUint(v.now, 10, 16); !ok || err != nil || n == 0 || v.now[0] == '0' {
		return nil, false
	}
	long := map[string]any{"target": int(port), "published": l.keepAt(v, at)}
	if address != "" {
		long["host_ip"] = strings.Trim(strings.TrimSuffix(address, ":"), "[]")
	}
	if protocol != "" {
		long["protocol"] = strings.ToLower(protocol)
	}
	return long, true
}

// mention is a variable with the first place that has it.
type mention struct {
	name string
	at   place
}

// mentions are variables, each once.
type mentions struct {
	list []mention
	seen map[string]bool
}

func (m *mentions) note(name string, at place) {
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
	if !m.seen[name] {
		m.seen[name] = true
		m.list = append(m.list, mention{name, at})
	}
}

func isIndex(key string) bool { return strings.HasPrefix(key, "#") }

func index(i int) string { return fmt.Sprintf("#%d", i) }
