package resolve

import (
	"context"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
)

func load(ctx context.Context, file string, opts Options) (*stack.Stack, diag.List) {
	return nil, diag.List{{Code: diag.FileUnreadable, Summary: "not there yet"}}
}
