// Package lang is the root of the module that owns the .ctst language: text,
// syntax tree, diagnostics and resolution to a [stack.Stack]. Everything in it
// is a pure function of its inputs and runs on every platform.
//
// [stack.Stack]: https://pkg.go.dev/github.com/containust/containust/modules/lang/stack
package lang
