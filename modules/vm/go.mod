module github.com/containust/containust/modules/vm

go 1.26.0

require (
	github.com/ulikunitz/xz v0.5.17
	golang.org/x/sys v0.49.0
)
