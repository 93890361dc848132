package resolve

import (
	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// kind is what a value turned out to be.
type kind int

const (
	bad     kind = iota // reported; nothing more is said about it
	unknown             // of a parameter in a template that is only checked
	text
	number
	boolean
	list
	mapping
	unset
)

// value is an evaluated value with where it came from.
type value struct {
	kind    kind
	rng     token.Range
	unit    *unit      // the file that wrote it: relative paths belong there
	text    stack.Text // text; the digits of a number, as they are shown; "true"
	items   []value
	entries []entry

	// variable is the environment variable that the text is exactly, which
	// is read as the type of the place where it lands.
	variable string

	// landed is the parameter of type string that made a variable's text
	// nothing but text.
	landed string

	// referred says that the value was written as "${…}", which takes the type
	// of the place where it lands: a number may be text there.
	referred bool

	// moved says that it is written elsewhere: in a LET, or as an argument.
	moved bool

	// uses are references inside that only some places may hold.
	uses []use

	// What check made of it.
	integer int64   // Int, Size (bytes), Duration (nanoseconds)
	decimal float64 // Decimal
}

// entry is one entry of a map.
type entry struct {
	key  ast.Ident
	lazy thunk
}

// thunk is a value that is evaluated when it is needed: an entry that a copy
// replaces is not.
type thunk struct {
	expr  ast.Value
	scope *scope
	done  *value
}

// use is a reference to a component, to self, or to a secret.
type use struct {
	kind   useKind
	name   string // of the component or secret; the attribute of self
	target *instance
	secret bool // what it stands for has a secret in it
	rng    token.Range
}

type useKind int

const (
	usesSecret useKind = iota
	usesComponent
	usesSelf
)

func plain(s string) stack.Text { return stack.Text{Value: s, Shown: s} }

// scope is where an expression is evaluated.
type scope struct {
	unit     *unit
	params   map[string]*binding
	self     *instance // nil: in a LET, a default or an EXPOSE
	check    bool      // only checked: environment and secrets may be missing
	letIndex int       // in a LET: only those before it are defined; else -1
	defaults bool      // in the default of a parameter
}

// binding is what a parameter stands for.
type binding struct {
	param   *parameter
	expr    ast.Value // the argument or the default; nil: unknown
	scope   *scope
	isArg   bool
	state   state
	outcome value
}

// state of something that is evaluated once, when it is needed.
type state int

const (
	fresh state = iota
	running
	finished
)
