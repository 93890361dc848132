package diag

import (
	"slices"
	"strings"
)

// Code is the stable name of a kind of diagnostic: "CT204". The hundreds are
// its group: 1 text and syntax, 2 properties and values, 3 imports, templates
// and references, 4 sources, 5 links and exposure, 6 environment, secrets and
// network.
type Code string

// Text and syntax.
const (
	FileUnreadable   Code = "CT100"
	InvalidUTF8      Code = "CT101"
	BidiControl      Code = "CT102"
	UnexpectedRune   Code = "CT103"
	LookAlike        Code = "CT104"
	UnclosedString   Code = "CT105"
	BadEscape        Code = "CT106"
	NulCharacter     Code = "CT107"
	BadNumber        Code = "CT108"
	UnclosedComment  Code = "CT109"
	BadInterpolation Code = "CT110"
	WrongQuotes      Code = "CT111"
	NameEndsInDash   Code = "CT112"
	UnexpectedToken  Code = "CT120"
	UnclosedBracket  Code = "CT121"
	StrayBracket     Code = "CT122"
	LowerCaseKeyword Code = "CT123"
	ColonForEquals   Code = "CT124"
	BareWord         Code = "CT125"
	WrongBool        Code = "CT126"
	UnknownStatement Code = "CT127"
	NestedTooDeep    Code = "CT128"
	FileTooLarge     Code = "CT129"
	TooManyErrors    Code = "CT130"
	PropertyOutside  Code = "CT131"
	MissingValue     Code = "CT132"
	KeywordAsName    Code = "CT133"
	MissingBody      Code = "CT134"
)

// Properties and values.
const (
	DuplicateProperty Code = "CT201"
	Alternatives      Code = "CT202"
	MissingProperty   Code = "CT203"
	UnknownProperty   Code = "CT204"
	UnknownKey        Code = "CT205"
	WrongType         Code = "CT206"
	BadSize           Code = "CT207"
	BadDuration       Code = "CT208"
	BadPort           Code = "CT209"
	OutOfRange        Code = "CT210"
	NotOneOf          Code = "CT211"
	BadVolume         Code = "CT213"
	BadPath           Code = "CT214"
	BadText           Code = "CT215"
	MountCollision    Code = "CT216"
	AppendToScalar    Code = "CT217"
	BadUnset          Code = "CT218"
	Combination       Code = "CT219"
	BadVariableName   Code = "CT220"
	TooLarge          Code = "CT221"
	MoreThanMachine   Code = "CT222"
	MissingKey        Code = "CT223"
)

// Imports, templates and references.
const (
	DuplicateName       Code = "CT301"
	ReservedName        Code = "CT302"
	NameTooLong         Code = "CT303"
	NamesTooSimilar     Code = "CT304"
	UnknownComponent    Code = "CT305"
	UnknownReference    Code = "CT306"
	UnknownAttribute    Code = "CT307"
	ReferenceNotAllowed Code = "CT308"
	TemplateAsTarget    Code = "CT309"
	FromCycle           Code = "CT310"
	UnknownLet          Code = "CT311"
	UnknownParameter    Code = "CT312"
	UnknownArgument     Code = "CT313"
	MissingArgument     Code = "CT314"
	BadParameter        Code = "CT315"
	UnusedLet           Code = "CT316"
	LetBeforeDefinition Code = "CT317"
	NothingToReference  Code = "CT318"
	CircularReference   Code = "CT319"
	DefaultNotAllowed   Code = "CT320"
	AmbiguousTemplate   Code = "CT321"
	ImportUnreadable    Code = "CT330"
	ImportCycle         Code = "CT331"
	ImportLimit         Code = "CT332"
	ImportAlias         Code = "CT333"
	ImportUnsupported   Code = "CT334"
	ImportPin           Code = "CT335"
	NoEffectInImport    Code = "CT336"
	ImportAddress       Code = "CT337"
	ImportChanged       Code = "CT338"
	NotInFetched        Code = "CT339"
	SharedVolume        Code = "CT340"
	LockUnusable        Code = "CT341"
)

// Sources.
const (
	BadSource Code = "CT401"
)

// Links and exposure.
const (
	OrderCycle       Code = "CT501"
	RepeatedConnect  Code = "CT502"
	AliasOfSeveral   Code = "CT503"
	PrefixCollision  Code = "CT504"
	ConnectsItself   Code = "CT505"
	NoNetwork        Code = "CT506"
	NeedsDisabled    Code = "CT507"
	TooManyLinks     Code = "CT508"
	BadExposure      Code = "CT510"
	ExposureTarget   Code = "CT511"
	ExposedPort      Code = "CT512"
	ExposureConflict Code = "CT513"
	ExposureNetwork  Code = "CT514"
)

// Environment, secrets and network.
const (
	VariableUnset     Code = "CT601"
	SecretUnset       Code = "CT602"
	SecretRefused     Code = "CT603"
	SecretNotAllowed  Code = "CT604"
	SecretsCollide    Code = "CT605"
	VariableWrongType Code = "CT606"
	NeedsNetwork      Code = "CT607"
)

// Meanings maps each code of this module to one line that says what it means.
// Stages that come later bring codes of their own.
func Meanings() map[Code]string {
	return map[Code]string{
		FileUnreadable:   "the file cannot be read",
		InvalidUTF8:      "the text is not UTF-8",
		BidiControl:      "a bidirectional control character, which can make text look like other text",
		UnexpectedRune:   "a character that has no meaning in the language",
		LookAlike:        "a character that looks like one of the language and is not",
		UnclosedString:   "a string without its closing quotes",
		BadEscape:        "an escape that does not exist",
		NulCharacter:     "a NUL in a string",
		BadNumber:        "not a number of the language",
		UnclosedComment:  "a comment without its */",
		BadInterpolation: "a ${…} that is not a reference",
		WrongQuotes:      "text in quotes other than \"…\"",
		NameEndsInDash:   "a name that ends in a dash",
		UnexpectedToken:  "something else than the grammar asks for",
		UnclosedBracket:  "an opening bracket that is never closed",
		StrayBracket:     "a closing bracket that nothing opened",
		LowerCaseKeyword: "a keyword that is not in upper case",
		ColonForEquals:   "a colon in place of =",
		BareWord:         "text without quotes",
		WrongBool:        "a yes or no that is not true or false",
		UnknownStatement: "a statement that does not exist",
		NestedTooDeep:    "values nested deeper than 64",
		FileTooLarge:     "a file larger than 4 MiB",
		TooManyErrors:    "the file has so many errors that reading it was given up",
		PropertyOutside:  "a property outside of a component",
		MissingValue:     "a property without a value",
		KeywordAsName:    "a keyword in place of a name",
		MissingBody:      "a component without a body",

		DuplicateProperty: "a property or key that is set twice",
		Alternatives:      "two ways to write one setting, side by side",
		MissingProperty:   "a component without a property that it must have",
		UnknownProperty:   "a property that does not exist",
		UnknownKey:        "a key that a map does not have",
		WrongType:         "a value of another type than the property's",
		BadSize:           "not a size",
		BadDuration:       "not a duration",
		BadPort:           "not a port",
		OutOfRange:        "a number outside of what is allowed",
		NotOneOf:          "not one of the allowed values",
		BadVolume:         "not a volume",
		BadPath:           "not a path of the kind that is needed",
		BadText:           "text that does not have the form that is needed",
		MountCollision:    "two mounts on one path",
		AppendToScalar:    "+= where there is no list to append to",
		BadUnset:          "UNSET where there is nothing to unset",
		Combination:       "properties that contradict each other",
		BadVariableName:   "not a name of an environment variable",
		TooLarge:          "text that is larger than allowed",
		MoreThanMachine:   "more CPUs than the machine has",
		MissingKey:        "a map without a key that it must have",

		DuplicateName:       "a name that is defined twice",
		ReservedName:        "a name that the language keeps for itself",
		NameTooLong:         "a name of more than 63 characters",
		NamesTooSimilar:     "two names that differ only in case, - and _",
		UnknownComponent:    "a component or template that does not exist",
		UnknownReference:    "a ${…} that refers to nothing the language knows",
		UnknownAttribute:    "a reference to something that components do not have",
		ReferenceNotAllowed: "a reference in a place where its kind is not allowed",
		TemplateAsTarget:    "a template where a deployed component is needed",
		FromCycle:           "components that are copies of each other",
		UnknownLet:          "a ${let.…} that is not defined",
		UnknownParameter:    "a ${param.…} that the template does not have",
		UnknownArgument:     "an argument that the template does not have",
		MissingArgument:     "a required parameter without an argument",
		BadParameter:        "a parameter that cannot be as it is written",
		UnusedLet:           "a LET that nothing uses",
		LetBeforeDefinition: "a LET used above its definition",
		NothingToReference:  "a reference to a value that the component does not have",
		CircularReference:   "a value that needs itself",
		DefaultNotAllowed:   "a default for something else than env",
		AmbiguousTemplate:   "an import with several templates, none of them named",
		ImportUnreadable:    "an imported file that cannot be read",
		ImportCycle:         "files that import each other",
		ImportLimit:         "too many imports",
		ImportAlias:         "an import without a usable name",
		ImportUnsupported:   "an import of a kind that this version does not support",
		ImportPin:           "an imported file that does not have the digest it is pinned to",
		NoEffectInImport:    "a statement that has no effect in an imported file",
		ImportAddress:       "an import whose address cannot be used as it is",
		ImportChanged:       "a fetched file that is not what ctst.lock has recorded",
		NotInFetched:        "something that a fetched file may not say by itself",
		LockUnusable:        "a ctst.lock that cannot be read or written",
		SharedVolume:        "a copy that shares the named volume of its original",

		BadSource: "not the URI of an image",

		OrderCycle:       "components that wait for each other",
		RepeatedConnect:  "a CONNECT that is there already",
		AliasOfSeveral:   "AS with more than one target",
		PrefixCollision:  "two CONNECTs that give a component the same variables",
		ConnectsItself:   "a component connected with itself",
		NoNetwork:        "a connection of a component that has no network",
		NeedsDisabled:    "a component that needs one which is not deployed",
		TooManyLinks:     "more connections than are supported",
		BadExposure:      "not an exposure",
		ExposureTarget:   "an exposure without a clear component",
		ExposedPort:      "an exposed port that the component does not declare",
		ExposureConflict: "two exposures of one host port",
		ExposureNetwork:  "an exposure of a component without a network of its own",

		VariableUnset:     "an environment variable that is not set",
		SecretUnset:       "a secret that is not set",
		SecretRefused:     "a secret that cannot be used as it is",
		SecretNotAllowed:  "a secret in a place that anyone may read",
		SecretsCollide:    "two secrets with one environment variable",
		NeedsNetwork:      "something that only the network has, which --offline forbids",
		VariableWrongType: "an environment variable whose text is not of the type that is needed",
	}
}

// Codes returns the codes of this module in order.
func Codes() []Code {
	var codes []Code
	for c := range Meanings() {
		codes = append(codes, c)
	}
	slices.SortFunc(codes, func(a, b Code) int { return strings.Compare(string(a), string(b)) })
	return codes
}
