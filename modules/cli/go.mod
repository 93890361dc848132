module github.com/containust/containust/modules/cli

go 1.26.0

require (
	github.com/containust/containust/modules/core v0.1.0
	github.com/containust/containust/modules/graph v0.1.0
	github.com/containust/containust/modules/lang v0.1.0
	github.com/containust/containust/modules/observe v0.1.0
	github.com/containust/containust/modules/sdk v0.1.0
	github.com/containust/containust/modules/storage v0.1.0
	github.com/containust/containust/modules/vm v0.1.0
)
