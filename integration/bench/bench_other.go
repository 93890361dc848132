//go:build !linux

package main

import "errors"

func run(int, int, string) error { return errors.ErrUnsupported }
