package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Version is the schema version that this package writes.
const Version = 2

// steps bring a document of version i+1 to version i+2. A step gets the whole
// document, numbers as json.Number, and never relies on the types of this
// package: these are the newest version's.
var steps = []func(document map[string]any) error{bootOfEach}

// bootOfEach: version 1 had one boot id for the whole project, though a component
// may have been started after a reboot and another not.
func bootOfEach(document map[string]any) error {
	boot, ok := document["boot_id"]
	delete(document, "boot_id")
	components, _ := document["components"].(map[string]any)
	if !ok || components == nil {
		return nil
	}
	for name, c := range components {
		component, isObject := c.(map[string]any)
		if !isObject {
			return fmt.Errorf("component %q is not an object", name)
		}
		if _, runs := component["pid"]; runs {
			component["boot_id"] = boot
		}
	}
	return nil
}

// migrate takes a document from a version to the one after the last step.
func migrate(text []byte, version int, steps []func(map[string]any) error) ([]byte, error) {
	if version < 1 {
		return nil, errors.New("it has no schema version")
	}
	if version > len(steps) {
		return text, nil
	}
	var document map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a start time has more digits than a float64
	if err := dec.Decode(&document); err != nil {
		return nil, err
	}
	for ; version <= len(steps); version++ {
		if err := steps[version-1](document); err != nil {
			return nil, fmt.Errorf("from schema version %d to %d: %w", version, version+1, err)
		}
	}
	document["version"] = version
	return json.Marshal(document)
}

// writer is the version of this module in the program that runs, empty where it
// was built from no release.
var writer = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range slices.Concat(info.Deps, []*debug.Module{&info.Main}) {
		if strings.HasSuffix(m.Path, "containust/modules/sdk") && m.Version != "(devel)" {
			return m.Version
		}
	}
	return ""
})
