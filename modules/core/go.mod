module github.com/containust/containust/modules/core

go 1.26.0
