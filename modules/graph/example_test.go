package graph_test

import (
	"fmt"

	"github.com/containust/containust/modules/graph"
)

func ExampleGraph_Order() {
	g, err := graph.New([]string{"web", "api", "db", "cache"}, []graph.Edge{
		{From: "web", To: "api"},
		{From: "api", To: "db"},
		{From: "api", To: "cache"},
	})
	if err != nil {
		panic(err)
	}
	layers, err := g.Order()
	fmt.Println(layers, err)
	fmt.Println(g.AllDependents("db"))
	// Output:
	// [[cache db] [api] [web]] <nil>
	// [api web]
}
