module github.com/containust/containust/modules/vm

go 1.26.0
