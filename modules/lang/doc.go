// Package lang is the root of the module that owns the .ctst language: text,
// syntax tree, diagnostics and resolution to a [stack.Stack]. Everything in it
// runs on every platform, and all but packages fetch and lock is a pure function
// of its inputs.
//
// [stack.Stack]: https://pkg.go.dev/github.com/containust/containust/modules/lang/stack
package lang
