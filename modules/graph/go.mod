module github.com/containust/containust/modules/graph

go 1.26.0
