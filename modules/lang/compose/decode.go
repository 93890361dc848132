package compose

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/go-viper/mapstructure/v2"
)

// decode reads a value in its long form into one of compose-go's types.
func decode(value, target any) error {
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: target, TagName: "yaml", Squash: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(decodeSelf, castScalar),
	})
	if err != nil {
		return err
	}
	return guard(func() error { return d.Decode(value) })
}

// decodeSelf lets types of compose-go that know how read themselves.
func decodeSelf(from, to reflect.Value) (any, error) {
	if !to.CanAddr() {
		return from.Interface(), nil
	}
	self, ok := to.Addr().Interface().(interface{ DecodeMapstructure(any) error })
	if !ok {
		return from.Interface(), nil
	}
	if err := self.DecodeMapstructure(from.Interface()); err != nil {
		return nil, err
	}
	return to.Interface(), nil
}

// castScalar reads the text that a variable brought, and writes numbers as
// text.
func castScalar(from, to reflect.Value) (any, error) {
	if from.Kind() == reflect.Int && to.Kind() == reflect.String {
		return strconv.FormatInt(from.Int(), 10), nil
	}
	if from.Kind() != reflect.String {
		return from.Interface(), nil
	}
	text := from.String()
	switch to.Kind() {
	case reflect.Bool:
		return strconv.ParseBool(text)
	case reflect.Int, reflect.Int64:
		return strconv.ParseInt(text, 10, 64)
	case reflect.Float32, reflect.Float64:
		return strconv.ParseFloat(text, 64)
	}
	return text, nil
}

// project is what the files say, in compose-go's types.
type project struct {
	services []*types.ServiceConfig // in the order of the files
	networks map[string]types.NetworkConfig
	volumes  map[string]types.VolumeConfig
	secrets  map[string]types.SecretConfig
	configs  map[string]types.ConfigObjConfig
}

// maxShell bounds what is split as a shell does: compose-go takes time with the
// square of a text for that.
const maxShell = 1 << 32

// decodeAll reads the whole model. An attribute that Compose does not have is
// an error.
func (m *model) decodeAll(order func(a, b place) int) (*project, error) {
	p := &project{}
	services, shell := newTable(serviceAttributes), 0
	names := sorted(m.section("services"))
	slices.SortStableFunc(names, func(a, b string) int { return order(m.place("services", a), m.place("services", b)) })
	for _, name := range names {
		attributes, _ := m.section("services")[name].(map[string]any)
		service := &types.ServiceConfig{Name: name}
		if err := m.known(services, attributes, "services", name); err != nil {
			return nil, err
		}
		for _, attribute := range sorted(attributes) {
			if row := services.rows[attribute]; row != nil && row.Becomes == "" {
				continue // lost as a whole, whatever it says
			}
			if line, ok := attributes[attribute].(string); ok && (attribute == "command" || attribute == "entrypoint") {
				if shell += len(line) * len(line); shell > maxShell {
					return nil, m.place("services", name, attribute).errorf("services.%s.%s: so long a text is not split: write a list", name, attribute)
				}
			}
			if err := decode(map[string]any{attribute: attributes[attribute]}, service); err != nil {
				return nil, m.place("services", name, attribute).errorf("services.%s.%s: %w", name, attribute, err)
			}
		}
		p.services = append(p.services, service)
	}
	rest := map[string]any{}
	for key, value := range m.dict {
		if key != "services" {
			rest[key] = value
		}
	}
	if err := m.known(newTable(projectAttributes), rest); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		section string
		target  any
	}{{"networks", &p.networks}, {"volumes", &p.volumes}, {"secrets", &p.secrets}, {"configs", &p.configs}} {
		if err := decode(rest[part.section], part.target); err != nil {
			return nil, m.place(part.section).errorf("%s: %w", part.section, err)
		}
	}
	return p, nil
}

// known reports the first attribute that Compose does not have.
func (m *model) known(t table, value any, keys ...string) error {
	var err error
	t.walk(value, "", keys, func(f found) {
		if f.row == nil && err == nil {
			err = m.place(f.keys...).errorf("%s: Compose has no such attribute, or not with such a value", strings.Join(f.keys, "."))
		}
	})
	return err
}
