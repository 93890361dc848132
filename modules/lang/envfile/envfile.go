// Package envfile reads files of variables: NAME=value lines as Compose reads
// them in .env, with comments, quotes and ${NAME}.
//
//	vars, err := envfile.Read([]string{"staging.env"}, os.LookupEnv)
//	st, found := resolve.Load(ctx, "app.ctst", resolve.Options{LookupEnv: os.LookupEnv, EnvFile: vars})
//
// It runs on every platform, needs no privileges, and may be called from any
// number of goroutines.
package envfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"github.com/containust/containust/modules/lang/internal/wholefile"
)

const (
	maxBytes = 1 << 20  // of a text
	maxSigns = 1000     // "$" in it: what takes them apart is slow with many
	maxTaken = 16 << 20 // of what its ${NAME} stand for: values of values multiply
	maxError = 120      // bytes of what is said about a line
)

// Read returns the variables of the files; a later file wins over an earlier
// one. The files are regular ones, and bounded as in [Parse], and lookup is as there.
// The error says which file is wrong, and where.
func Read(files []string, lookup func(name string) (string, bool)) (map[string]string, error) {
	vars := map[string]string{}
	for _, file := range files {
		text, err := wholefile.Head(file, maxBytes+1)
		if err != nil {
			return nil, fmt.Errorf("read variables: %w", err)
		}
		if err := Parse(text, "", vars, lookup); err != nil {
			return nil, fmt.Errorf("read variables: %s: %w", file, err)
		}
	}
	return vars, nil
}

// Parse adds the variables of a text to vars. format is empty, or one that
// Compose knows. ${NAME} in a value is what lookup has, else what vars has;
// nil: an empty environment. A text has at most 1 MiB and 1000 of these, and all
// that they stand for is at most 16 MiB.
func Parse(text []byte, format string, vars map[string]string, lookup func(name string) (string, bool)) error {
	switch {
	case len(text) > maxBytes:
		return errors.New("it is larger than 1 MiB")
	case bytes.Count(text, []byte("$")) > maxSigns:
		return fmt.Errorf("it has more than %d $", maxSigns)
	}
	taken := 0
	err := dotenv.ParseWithFormat(bytes.NewReader(text), "", vars, func(name string) (string, bool) {
		if taken > maxTaken {
			return "", true
		}
		v, ok := "", false
		if lookup != nil {
			v, ok = lookup(name)
		}
		if !ok {
			v, ok = vars[name]
		}
		taken += len(v)
		return v, ok
	}, format)
	switch {
	case taken > maxTaken:
		return errors.New("its variables are made of each other, and multiply to more than 16 MiB")
	case err == nil:
		return nil
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the name of the file, which was not given
	}
	if said := err.Error(); len(said) > maxError {
		err = errors.New(strings.ToValidUTF8(said[:maxError], "") + "…")
	}
	return err
}
