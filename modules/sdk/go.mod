module github.com/containust/containust/modules/sdk

go 1.26.0

require (
	github.com/containust/containust/modules/core v0.1.0
	github.com/containust/containust/modules/graph v0.1.0
	github.com/containust/containust/modules/lang v0.1.0
	github.com/containust/containust/modules/observe v0.1.0
	github.com/containust/containust/modules/storage v0.1.0
	github.com/containust/containust/modules/vm v0.1.0
)

require (
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
)
