package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

func joinBeside(file, name string) string { return filepath.Join(filepath.Dir(file), name) }

// secret is the outcome of one lookup.
type secret struct {
	value string
	err   error
}

// secretVariable is the environment variable of a secret.
func secretVariable(name string) string {
	return "CONTAINUST_SECRET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// secretExists looks a secret up, and reports at rng why it cannot be had.
func (r *resolver) secretExists(name string, rng token.Range) (string, bool) {
	s := r.secrets[name]
	if s == nil {
		s = &secret{}
		r.secrets[name] = s
		if found, ok := r.opts.LookupEnv(secretVariable(name)); ok {
			s.value = found
		} else {
			s.value, s.err = r.opts.LookupSecret(name)
		}
	}
	variable := secretVariable(name)
	if other, ok := r.secretEnv[variable]; ok && other != name {
		r.report(diag.SecretsCollide, rng, fmt.Sprintf("the secrets %q and %q have one environment variable, %s", other, name, variable), "rename one of the two", "")
		return "", false
	}
	r.secretEnv[variable] = name
	switch {
	case s.err == nil:
		return s.value, true
	case errors.Is(s.err, fs.ErrNotExist):
		r.report(diag.SecretUnset, rng, fmt.Sprintf("the secret %q is not set", name), "",
			fmt.Sprintf("Put it into the file .containust/secrets/%s (mode 0600), or into the variable %s.", name, variable))
	default:
		r.report(diag.SecretRefused, rng, fmt.Sprintf("the secret %q cannot be used", name), "", s.err.Error())
	}
	return "", false
}

func (r *resolver) secretValue(ref *ast.Reference, sc *scope) value {
	uses := []use{{kind: usesSecret, name: ref.Name, rng: ref.Range}}
	if sc.check {
		return value{kind: unknown, uses: uses}
	}
	found, ok := r.secretExists(ref.Name, ref.Range)
	if !ok {
		return value{uses: uses}
	}
	return value{kind: text, text: stack.Text{Value: found, Shown: "${secret." + ref.Name + "}"}, uses: uses}
}

var attributes = []string{"host", "port", "connection_string"}

func (r *resolver) selfReference(ref *ast.Reference, sc *scope) value {
	if sc.self == nil {
		r.report(diag.ReferenceNotAllowed, ref.Range, "${self} has no meaning here", "", "It is the component itself, so that it stands in a component's properties only.")
		return value{}
	}
	switch ref.Name {
	case "name", "host":
		var uses []use
		if ref.Name == "host" {
			uses = []use{{kind: usesSelf, name: ref.Name, rng: ref.Range}}
		}
		if sc.self.def.template {
			return value{kind: unknown, uses: uses}
		}
		return value{kind: text, text: plain(sc.self.name), uses: uses}
	case "port", "connection_string":
		v := r.attribute(sc.self, ref, "self")
		v.uses = []use{{kind: usesSelf, name: ref.Name, secret: v.text.Secret(), rng: ref.Range}}
		return v
	}
	r.report(diag.UnknownAttribute, ref.Range, fmt.Sprintf("${self.%s} does not exist", ref.Name), r.near(ref.Name, []string{"name", "host", "port", "connection_string"}),
		"There are ${self.name}, ${self.host}, ${self.port} and ${self.connection_string}.")
	return value{}
}

func (r *resolver) componentReference(ref *ast.Reference, sc *scope) value {
	u := sc.unit
	known := slices.Contains(attributes, ref.Name)
	d := u.components[ref.Root]
	if d == nil {
		_, imported := u.aliases[ref.Root]
		switch {
		case imported:
			r.isImport(ref.Root, ref.Range)
		case u.incomplete:
		case known:
			detail := "A component of another file is taken as a parameter."
			if u.root {
				detail = namesDetail("The components are ", u.deployed)
			}
			r.report(diag.UnknownComponent, ref.Range, fmt.Sprintf("unknown component %q", ref.Root), r.near(ref.Root, u.deployed, roots), detail)
		default:
			suggestion := r.near(ref.Root, roots, u.names)
			if ref.Root == "var" || ref.Root == "local" {
				suggestion = fmt.Sprintf("write ${let.%s}", ref.Name)
			}
			u.doubtful = true
			r.report(diag.UnknownReference, ref.Range, fmt.Sprintf("${%s.%s} refers to nothing", ref.Root, ref.Name), suggestion,
				fmt.Sprintf("References are ${env.NAME}, ${param.name}, ${let.name}, ${secret.name}, ${self.name} and ${component.host}. For the text itself: $${%s.%s}.", ref.Root, ref.Name))
		}
		return value{}
	}
	if !known {
		suggestion := r.near(ref.Name, attributes)
		if ref.Name == "name" {
			suggestion = `did you mean "host"?`
		}
		r.report(diag.UnknownAttribute, ref.Range, fmt.Sprintf("${%s.%s} does not exist", ref.Root, ref.Name), suggestion,
			fmt.Sprintf("There are ${%s.host}, ${%s.port} and ${%s.connection_string}.", ref.Root, ref.Root, ref.Root))
		return value{}
	}
	if d.template {
		r.report(diag.TemplateAsTarget, ref.Range, fmt.Sprintf("%q is a template, which is not deployed", ref.Root), "take it as a parameter", "",
			diag.Related{Label: "the template", Range: d.name.Range})
		return value{}
	}
	target := r.instances[ref.Root]
	v := value{kind: text, text: plain(ref.Root)}
	if target != nil && ref.Name != "host" {
		v = r.attribute(target, ref, ref.Root)
	}
	v.uses = []use{{kind: usesComponent, name: ref.Root, target: target, secret: v.text.Secret(), rng: ref.Range}}
	return v
}

// attribute returns the port or the connection string of a component.
func (r *resolver) attribute(target *instance, ref *ast.Reference, as string) value {
	// In `enabled` nothing of a component is known yet; where it stands there
	// it is reported.
	if target.def.template || target.settings == nil {
		return value{kind: unknown}
	}
	if ref.Name == "port" {
		ports, ok := r.portsOf(target, ref)
		switch {
		case !ok && target.checkOnly:
			return value{kind: unknown}
		case !ok:
			return value{}
		case len(ports) == 0:
			r.nothing(target, ref, as, "port")
			return value{}
		}
		return value{kind: number, text: plain(fmt.Sprint(ports[0].Number))}
	}
	s, ok := r.connectionOf(target, ref)
	switch {
	case !ok:
		if target.checkOnly {
			return value{kind: unknown}
		}
		return value{}
	case s == stack.Text{}:
		r.nothing(target, ref, as, "connection_string")
		return value{}
	}
	return value{kind: text, text: s}
}

func (r *resolver) nothing(target *instance, ref *ast.Reference, as, property string) {
	r.report(diag.NothingToReference, ref.Range, fmt.Sprintf("%q has no port, so that ${%s.%s} has no value", target.name, as, property), "",
		"Give it one: port = 8080.", diag.Related{Label: "the component", Range: target.def.name.Range})
}
