module github.com/containust/containust/modules/observe

go 1.26.0

require (
	github.com/containust/containust/modules/core v0.1.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
)

require (
	github.com/moby/sys/mountinfo v0.7.3 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
