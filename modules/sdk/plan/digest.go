package plan

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// Digest identifies a specification: the configuration and the image's digest.
// It is an HMAC under the project's own key, since the specification may hold
// secrets and the digest is stored. What can change without a restart is not
// part of it, nor are the layers, which the image's digest stands for.
func Digest(key []byte, d Desired) string {
	return sum(key, struct {
		Config container.Config
		Image  string
	}{fixed(d.Config), d.Image.Digest})
}

// fixed is the part of a specification that a running container cannot change.
func fixed(cfg container.Config) container.Config {
	cfg.Layers = nil
	cfg.Network.Links = nil
	cfg.Network.Expose = nil
	cfg.Restart = container.Restart{}
	cfg.Health = nil
	cfg.StopSignal = ""
	cfg.StopTimeout = 0
	cfg.Resources = container.Resources{Rlimits: cfg.Resources.Rlimits} // setrlimit is for the process itself
	return cfg
}

// Secrets returns, for each property that holds secrets, an HMAC of its true
// value: what tells later that it changed.
func Secrets(key []byte, d Desired) map[string]string {
	macs := map[string]string{}
	note := func(path string, value []byte) { macs[path] = sum(key, [2]any{path, value}) }
	for i, kv := range d.Config.Env {
		if i < len(d.Shown.Env) && d.Shown.Env[i] != kv {
			name, value := cutVariable(kv)
			note("env."+name, []byte(value))
		}
	}
	for i, f := range d.Config.Files {
		if i < len(d.Shown.Files) && !bytes.Equal(d.Shown.Files[i].Content, f.Content) {
			note("files."+f.Path, f.Content)
		}
	}
	if len(macs) == 0 {
		return nil
	}
	return macs
}

// wants identifies everything that the file wants of a component, what can
// change in place included.
func wants(key []byte, d Desired) string {
	d.Config.Layers = nil
	return sum(key, struct {
		Config    container.Config
		Image     string
		DependsOn []string
	}{d.Config, d.Image.Digest, slices.Concat([]string{}, d.DependsOn)})
}

// identity identifies what a project has of a component, whatever becomes of
// its process. It is empty for nothing.
func identity(key []byte, have *state.Component) string {
	if have == nil {
		return ""
	}
	spec := have.Spec
	spec.Layers = nil
	return sum(key, struct {
		Digest    string
		Spec      container.Config
		DependsOn []string
	}{have.Digest, spec, slices.Concat([]string{}, have.DependsOn)})
}

// sum is the HMAC of a value's JSON form.
func sum(key []byte, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // these values hold nothing that JSON cannot say
	}
	return mac(key, text)
}

func mac(key, text []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}
