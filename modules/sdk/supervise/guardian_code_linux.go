//go:build amd64 || arm64

package supervise

import "unsafe"

// guardianCode returns where the guardian's text begins.
func guardianCode() unsafe.Pointer
