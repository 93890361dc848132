package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

var (
	versionLine  = regexp.MustCompile(`^  ([a-z][a-z0-9]*): (\S+)$`)
	validVersion = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`)
)

// parseVersions reads versions.yaml: comments, the key "modules", and below it
// one "  name: version" a line. That is all of YAML that the file may use, so
// that a slip is an error and not a value nobody meant.
func parseVersions(text string) (map[string]string, error) {
	versions := make(map[string]string)
	open := false
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimRight(line, " ")
		match := versionLine.FindStringSubmatch(line)
		switch {
		case line == "":
		case line == "modules:" && !open:
			open = true
		case match == nil || !open:
			return nil, fmt.Errorf("line %d: want %q, then lines like %q", i+1, "modules:", "  core: v0.1.0")
		case !validVersion.MatchString(match[2]):
			return nil, fmt.Errorf("line %d: %q is no version like v0.1.0", i+1, match[2])
		case match[2] == "v0.0.0":
			// The go command takes v0.0.0 for "no version": no consumer can resolve it.
			return nil, fmt.Errorf("line %d: v0.0.0 cannot be released", i+1)
		case versions[match[1]] != "":
			return nil, fmt.Errorf("line %d: %s is there twice", i+1, match[1])
		default:
			versions[match[1]] = match[2]
		}
	}
	if len(versions) == 0 {
		return nil, errors.New("names no module")
	}
	return versions, nil
}
