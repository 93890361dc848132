module github.com/containust/containust/modules/graph

go 1.26.0

require github.com/yourbasic/graph v0.0.0-20210606180040-8ecfec1c2869
