module github.com/containust/containust/modules/lang

go 1.26.0
