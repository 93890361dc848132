package resolve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	neturl "net/url"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
)

// location is where a file lies.
type location struct {
	name string      // as diagnostics call it: a path, or the URL
	key  string      // the same for every way to write it
	dir  string      // absolute; empty: fetched
	url  *neturl.URL // nil: on disk
}

// fetched tells whether the file came over the network: then it may say less.
func (u *unit) fetched() bool { return u != nil && u.url != nil }

func isURL(file string) bool { return strings.Contains(file, "://") }

// locate finds out where the file of an import lies. In a fetched file it is
// always behind a URL.
func (r *resolver) locate(u *unit, s *ast.Import, file, pin string) (location, bool) {
	if u.fetched() || isURL(file) {
		return r.locateURL(u, s, file, pin)
	}
	name := file
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(u.name), filepath.FromSlash(file))
	}
	absolute, err := filepath.Abs(name)
	if err != nil {
		r.report(diag.ImportUnreadable, s.Path.Range, fmt.Sprintf("%s cannot be read: %s", name, reason(err)), "", "")
		return location{}, false
	}
	return location{name: name, key: absolute, dir: filepath.Dir(absolute)}, true
}

// locateURL makes the one form of a URL, so that a file is read once however
// its address is written.
func (r *resolver) locateURL(u *unit, s *ast.Import, file, pin string) (location, bool) {
	refuse := func(code diag.Code, summary, suggestion, detail string) (location, bool) {
		r.report(code, s.Path.Range, summary, suggestion, detail)
		return location{}, false
	}
	if strings.ContainsFunc(file, unicode.IsControl) {
		return refuse(diag.ImportAddress, "the address of the import has a control character", "remove it", "")
	}
	written, err := neturl.Parse(file)
	if err != nil {
		return refuse(diag.ImportAddress, "the address of the import cannot be read: "+parseReason(err), "", addressForm)
	}
	base := u.url
	if base == nil {
		base = &neturl.URL{}
	}
	url := base.ResolveReference(written)
	switch {
	case url.Scheme == "":
		return refuse(diag.ImportAddress, "the address of the import cannot be read: it does not begin with a scheme", `write "https://…", or the path of a file`, "")
	case url.Scheme != "https" && url.Scheme != "http":
		detail := "Imports are files, https:// and, with a pin, http://."
		if u.fetched() {
			detail = "A fetched file imports from its own server by a relative path, and from others over https://."
		}
		return refuse(diag.ImportUnsupported, fmt.Sprintf("imports over %s are not supported", url.Scheme), "", detail)
	case url.User != nil:
		return refuse(diag.ImportAddress, "the address has a user name or password in it", "remove it",
			"Imports are fetched without credentials: what is in a file, everybody who has the file knows.")
	case url.Fragment != "" || strings.Contains(file, "#"):
		return refuse(diag.ImportAddress, "the address has a fragment, which no server gets to see", `remove "#" and the text behind it`, "")
	case strings.Contains(file, "@sha256:"):
		return refuse(diag.ImportAddress, "the digest behind @sha256: is not 64 hexadecimal digits in lower case", "correct or remove it",
			"Without one that is whole the import would not be pinned. In a path that has such a text, @ is written as %40.")
	case url.Scheme == "http" && pin == "":
		return refuse(diag.ImportAddress, "an import over http needs a pin", `write "https://", or add @sha256:<64 hex>`,
			"Over http anybody on the way can change the file.")
	}
	if err := normalise(url); err != nil {
		return refuse(diag.ImportAddress, "the address of the import cannot be used: "+err.Error(), "", addressForm)
	}
	name := url.String()
	return location{name: name, key: name, url: url}, true
}

const addressForm = "An address is https://host/path.ctst, with :port behind the host where it needs one."

// parseReason is why a URL cannot be read, without the URL.
func parseReason(err error) string {
	var e *neturl.Error
	if errors.As(err, &e) {
		return e.Err.Error()
	}
	return err.Error()
}

// normalise makes the host lower case and ASCII, and drops what says nothing.
func normalise(url *neturl.URL) error {
	host, port := url.Hostname(), url.Port()
	if host == "" {
		return errors.New("it names no host")
	}
	ascii := strings.ToLower(host)
	if strings.Trim(host, asciiHost) != "" {
		var err error
		if ascii, err = idna.Lookup.ToASCII(host); err != nil {
			return fmt.Errorf("%q is not the name of a host", host)
		}
	}
	switch bracketed := strings.HasPrefix(url.Host, "["); {
	case bracketed:
		ascii = "[" + ascii + "]"
	case strings.Contains(ascii, ":"):
		return fmt.Errorf("%q is not the name of a host", host)
	}
	if port != "" && !(url.Scheme == "https" && port == "443") && !(url.Scheme == "http" && port == "80") {
		ascii += ":" + port
	}
	url.Host, url.ForceQuery, url.RawQuery = ascii, false, escapeQuery(url.RawQuery)
	if url.Path == "" {
		url.Path = "/"
	}
	return nil
}

// escapeQuery escapes what package url leaves as it is in a query, and no
// request can hold.
func escapeQuery(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

const asciiHost = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:"

// stem is what an import is called that has no AS: its file's name, without
// extension, server and query.
func stem(file string, remote bool) string {
	if remote {
		if i := strings.IndexAny(file, "?#"); i >= 0 {
			file = file[:i]
		}
		if _, rest, found := strings.Cut(file, "://"); found {
			_, file, _ = strings.Cut(rest, "/")
		}
	}
	base := file[strings.LastIndexAny(file, `/\`)+1:]
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// fetch gets a file from the network. One that failed is not asked for again:
// that would be said twice.
func (r *resolver) fetch(s *ast.Import, at location, pin string) ([]byte, bool) {
	if r.opts.Fetch == nil {
		r.report(diag.ImportUnsupported, s.Path.Range, fmt.Sprintf("imports over %s are not fetched here", at.url.Scheme), "import a file",
			"Fetch it once, keep it beside this file, and import it by its path.")
		return nil, false
	}
	src, err := r.opts.Fetch(r.ctx, at.key, pin)
	if err == nil {
		return src, true
	}
	r.units[at.key] = nil
	if r.ctx.Err() != nil {
		return nil, false // load says that it was interrupted
	}
	d := diag.Diagnostic{
		Code: diag.ImportUnreadable, Summary: fmt.Sprintf("%s cannot be fetched: %v", at.name, err),
		Detail: "Correct the address, or keep the file beside this one and import it by its path.",
	}
	var described interface{ Diagnostic() diag.Diagnostic }
	if errors.As(err, &described) {
		d = described.Diagnostic()
	}
	d.Range = s.Path.Range
	r.add(d)
	return nil, false
}

// refusedInFetched are the references that a fetched file may not write: they
// would give it what the machine's user did not hand over.
var refusedInFetched = map[string]bool{"env": true, "secret": true}

const passIt = "pass it as a parameter"

// refuseReferences reports the references of a fetched file to environment and
// secrets, wherever they stand and whether they are used or not.
func (r *resolver) refuseReferences(u *unit) {
	for _, s := range u.tree.Statements {
		if _, ok := s.(*ast.Expose); ok {
			continue // it has no effect
		}
		references(s, func(ref *ast.Reference) {
			if refusedInFetched[ref.Root] {
				r.report(diag.NotInFetched, ref.Range, fmt.Sprintf("a fetched file cannot use ${%s.%s}", ref.Root, ref.Name), passIt,
					"Give the template a parameter, write ${param.name} in this place, and pass the value from a file of your own.")
			}
		})
	}
}

// refuseLocal reports a value that reaches for this machine and was not
// received whole from a local file.
func (r *resolver) refuseLocal(v value, s subject) {
	shown := v.text.Shown
	if runes := []rune(shown); len(runes) > 60 {
		shown = string(runes[:60]) + "…"
	}
	r.report(diag.NotInFetched, v.rng, fmt.Sprintf("a fetched file cannot set %s to %q", s.name, shown), passIt,
		`Give the template a parameter, write "${param.name}" alone in this place, and pass the whole value from a file of your own.`)
}

func digest(src []byte) string {
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:])
}
