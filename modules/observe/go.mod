module github.com/containust/containust/modules/observe

go 1.26.0
