//go:build !linux

package sdk

// onMachine is false where nothing runs natively.
func onMachine(string) bool { return false }
