module github.com/containust/containust/modules/vm

go 1.26.0

require (
	github.com/containust/containust/modules/core v0.1.0
)
