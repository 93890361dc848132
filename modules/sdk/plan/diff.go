package plan

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/containust/containust/modules/core/container"
)

// Diff lists the properties in which two specifications differ, by path.
// Layers are left out: their digests say less than the image's.
func Diff(old, new container.Config) []Reason {
	before, after := properties(old), properties(new)
	paths := map[string]bool{}
	for p := range before {
		paths[p] = true
	}
	for p := range after {
		paths[p] = true
	}
	var reasons []Reason
	for p := range paths {
		if before[p] != after[p] {
			reasons = append(reasons, Reason{Property: p, Old: before[p], New: after[p]})
		}
	}
	sort.Slice(reasons, func(i, j int) bool { return reasons[i].Property < reasons[j].Property })
	return reasons
}

// properties flattens a specification to "path" -> JSON text of the value.
func properties(cfg container.Config) map[string]string {
	env := cfg.Env
	cfg.Env, cfg.Layers = nil, nil
	text, err := json.Marshal(cfg)
	if err != nil {
		panic(err) // a Config holds nothing that JSON cannot say
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		panic(err) // it was marshalled from a struct just now
	}
	flat := map[string]string{}
	for key, value := range tree {
		flatten(flat, key, value)
	}
	delete(flat, "layers")
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		flat["env."+name] = quote(value)
	}
	return flat
}

func flatten(flat map[string]string, path string, value any) {
	if object, ok := value.(map[string]any); ok {
		for key, v := range object {
			flatten(flat, path+"."+key, v)
		}
		return
	}
	flat[path] = quote(value)
}

func quote(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(text)
}
