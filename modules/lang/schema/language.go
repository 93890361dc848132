package schema

import (
	"slices"

	"github.com/containust/containust/modules/lang/token"
)

// Form is one way to write something, with what it means.
type Form struct {
	Name    string `json:"name"`
	Form    string `json:"form"` // [ ] is optional, … repeats, | is or
	Doc     string `json:"doc"`
	Example string `json:"example"`
}

var statements = []Form{
	{
		Name: "COMPONENT", Form: "COMPONENT name [, name …] { property = value … }",
		Doc:     "a container that is deployed; several names stand for several components of the same text",
		Example: "COMPONENT web { image = \"file://./web\" port = 8080 }",
	},
	{
		Name: "template", Form: "COMPONENT name([parameter[: type] [= default], …]) { property = value … }",
		Doc:     "a template: never deployed, a base for FROM; types are string, int, number, bool, list and map",
		Example: "COMPONENT server(port: int, level = \"info\") { image = \"file://./server\" port = \"${param.port}\" env = { LEVEL = \"${param.level}\" } }",
	},
	{
		Name: "FROM", Form: "COMPONENT name [, name …] FROM [alias.]base[(parameter = value, …)] [{ property = value … }]",
		Doc:     "a copy: a scalar or list that it sets replaces the base's, maps merge entry by entry, += appends to the inherited list, UNSET takes away",
		Example: "COMPONENT db FROM pg.server(port = 5432) { memory = \"256MiB\" volumes += [\"./conf:/conf:ro\"] }",
	},
	{
		Name: "CONNECT", Form: "CONNECT name [, name …] -> name [, name …] [AS alias] [NOWAIT]",
		Doc:     "the left may reach the right and starts after it is healthy (a job: completed); without a CONNECT two components cannot reach each other. The left gets PREFIX_HOST, PREFIX_PORT and PREFIX_CONNECTION_STRING, PREFIX being the right's name (or the alias) in upper case. NOWAIT: no order, so that cycles are allowed",
		Example: "CONNECT api -> db, cache",
	},
	{
		Name: "EXPOSE", Form: "EXPOSE host[:container][/udp] [TO name]  |  EXPOSE \"[address:]host[:container][/tcp|/udp]\" [TO name]",
		Doc:     "a port of the host that leads to a component's port; the address is 127.0.0.1 unless it is written",
		Example: "EXPOSE 8080:80 TO web",
	},
	{
		Name: "IMPORT", Form: "IMPORT \"path or https://…[@sha256:<64 hex>]\" [AS alias]",
		Doc:     "makes the components of another file known as alias.name, for FROM only; without AS the alias is the file's name without its ending",
		Example: "IMPORT \"templates/postgres.ctst\" AS pg",
	},
	{
		Name: "LET", Form: "LET name = value",
		Doc:     "a value for ${let.name}, in this file only; it may use env, secret, components and LETs above it",
		Example: "LET tag = \"${env.TAG:-1.4}\"",
	},
}

var references = []Form{
	{Name: "env", Form: "${env.NAME} | ${env.NAME:-text}", Doc: "the caller's environment, or text where it is unset or empty; in any property's value, in LET, in arguments and in EXPOSE \"…\"", Example: "\"${env.LOG_LEVEL:-info}\""},
	{Name: "param", Form: "${param.name}", Doc: "a parameter of the template that it stands in; alone in a string it keeps the argument's type", Example: "\"${param.port}\""},
	{Name: "let", Form: "${let.name}", Doc: "a LET of the same file; alone in a string it keeps the value's type", Example: "\"${let.tag}\""},
	{Name: "self", Form: "${self.name} | ${self.host} | ${self.port} | ${self.connection_string}", Doc: "the component itself; name in any property's value, the others where components may be named and in connection_string", Example: "\"${self.name}-data:/data\""},
	{Name: "component", Form: "${name.host} | ${name.port} | ${name.connection_string}", Doc: "another component; it makes the link and the order of a CONNECT", Example: "\"http://${api.host}:${api.port}\""},
	{Name: "secret", Form: "${secret.name}", Doc: "from the variable CONTAINUST_SECRET_<NAME> or the file .containust/secrets/<name> (mode 0600); never shown anywhere", Example: "\"${secret.token}\""},
	{Name: "escape", Form: "$${", Doc: "the text ${ itself", Example: "\"$${HOME}\""},
}

var literals = []Form{
	{Name: "string", Form: "\"text\"", Doc: "on one line, with \\\" \\\\ \\n \\r \\t \\$ \\u{hex} and ${…}", Example: "\"a \\\"b\\\"\""},
	{Name: "raw string", Form: "\"\"\"text\"\"\"", Doc: "several lines, no escapes, with ${…}; the blanks that all lines have in common are removed", Example: "\"\"\"\n    listen = :80\n    \"\"\""},
	{Name: "number", Form: "[+|-]digits[.digits]", Doc: "no leading zero, no exponent; 1_000 is 1000", Example: "0.5"},
	{Name: "bool", Form: "true | false", Doc: "no yes, no, on or off", Example: "true"},
	{Name: "list", Form: "[value, …]", Doc: "commas may be left out", Example: "[\"/app\", \"--listen\"]"},
	{Name: "map", Form: "{ key = value, … }", Doc: "a key is a name or a string; commas may be left out", Example: "{ A = 1, \"b.c\" = \"x\" }"},
	{Name: "UNSET", Form: "UNSET", Doc: "as if base, image and CONNECT had never set the property or entry", Example: "UNSET"},
	{Name: "comment", Form: "// or # to the end of the line, /* … */", Doc: "newlines mean nothing", Example: "# a comment"},
}

// Statements returns the forms of all statements. The list must not be changed.
func Statements() []Form { return statements }

// References returns the forms of all references, ${…}. The list must not be
// changed.
func References() []Form { return references }

// Literals returns the forms of values and comments. The list must not be
// changed.
func Literals() []Form { return literals }

var reserved = append([]string{"env", "secret", "param", "let", "self", "localhost", "true", "false"}, token.Keywords()...)

// Reserved returns the words that cannot be the name of a component or the alias
// of an import or CONNECT: those that references begin with, localhost, the bools
// and the keywords.
// The list must not be changed.
func Reserved() []string { return reserved }

// IsReserved tells whether a word is one of [Reserved].
func IsReserved(word string) bool { return slices.Contains(reserved, word) }
