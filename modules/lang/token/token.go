// Package token defines the lexical tokens of the .ctst language and the
// positions that everything else in the module reports.
package token

// Pos is a place in a file.
type Pos struct {
	Offset int // in bytes, from 0
	Line   int // from 1
	Column int // in code points, from 1
}

// Range is a piece of a file: from Start up to, and without, End.
type Range struct {
	File       string
	Start, End Pos
}
