module github.com/containust/containust/modules/storage

go 1.26.0

require (
	github.com/klauspost/compress v1.20.3
	github.com/stretchr/testify v1.12.1
	golang.org/x/sys v0.49.0
)

require golang.org/x/net v0.62.0 // indirect

require (
	github.com/containust/containust/modules/core v0.1.0
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
