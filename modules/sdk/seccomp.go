package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/seccomp"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
)

// profile returns the text of a component's system call profile, and what is
// shown of it: its digest. A warning leaves the text valid.
func profile(c *stack.Component) (text, shown string, found []diag.Diagnostic) {
	if c.Seccomp == "" || c.Seccomp == "default" || c.Seccomp == "unconfined" {
		return "", "", nil
	}
	finding := func(code diag.Code, severity diag.Severity, summary, detail string) []diag.Diagnostic {
		return []diag.Diagnostic{{Code: code, Severity: severity, Summary: summary, Detail: detail, Range: c.Where["seccomp"]}}
	}
	content, err := seccomp.ReadFile(c.Seccomp)
	if err != nil {
		return "", "", finding(FileMissing, diag.Error, fmt.Sprintf("the system call profile cannot be read: %v", err),
			`write the path of an OCI profile, or "default" or "unconfined"`)
	}
	caps, err := capability.ParseSet(c.Capabilities...)
	if err != nil {
		return "", "", finding(ProfileInvalid, diag.Error, err.Error(), "")
	}
	program, err := compile(content, caps)
	var parse *seccomp.ParseError
	switch {
	case errors.As(err, &parse):
		place := fmt.Sprintf("%s:%d:%d", c.Seccomp, parse.Line, parse.Column)
		if parse.Path != "" {
			place += ": " + parse.Path
		}
		return "", "", finding(ProfileInvalid, diag.Error, "the system call profile is not valid", place+": "+parse.Text)
	case err != nil:
		return "", "", finding(ProfileInvalid, diag.Error, fmt.Sprintf("the system call profile %s cannot be used: %v", c.Seccomp, err), "")
	case program.NoExec:
		return "", "", finding(ProfileInvalid, diag.Error, "under this system call profile no program can be started",
			c.Seccomp+" does not let execve happen: allow it there")
	}
	sum := sha256.Sum256(content)
	text, shown = string(content), "sha256:"+hex.EncodeToString(sum[:])
	if len(program.Unknown) > 0 {
		found = finding(ProfileInvalid, diag.Warning, "the system call profile names what is no system call: "+strings.Join(program.Unknown, ", "),
			"these names have no effect; are they spelt right?")
	}
	return text, shown, found
}

func compile(content []byte, caps capability.Set) (seccomp.Program, error) {
	p, err := seccomp.Parse(content)
	if err != nil {
		return seccomp.Program{}, err
	}
	return p.Compile(seccomp.Options{Capabilities: caps})
}
