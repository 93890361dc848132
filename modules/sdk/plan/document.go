package plan

import (
	"net/netip"
	"strings"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/state"
)

// FormatVersion is that of [Document]. It changes when a reader of the last one
// could misunderstand the new one; fields that are added don't change it.
const FormatVersion = 1

// Document is a plan for other programs: what `ctst plan --json` prints.
// docs/plan.md explains each field.
type Document struct {
	FormatVersion int           `json:"format_version"`
	Project       state.Project `json:"project"`
	Serial        uint64        `json:"serial"`
	Refused       bool          `json:"refused"`
	Summary       Summary       `json:"summary"`
	Changes       []Change      `json:"changes"`
	Order         [][]string    `json:"order"`
	Exposures     []Exposure    `json:"exposures"`
	Unconfined    []Unconfined  `json:"unconfined"`
	Unpinned      []Unpinned    `json:"unpinned"`
	Warnings      diag.List     `json:"warnings"`
}

// Summary counts components by what happens to them.
type Summary struct {
	Create  int `json:"create"`
	Replace int `json:"replace"`
	Update  int `json:"update"`
	Start   int `json:"start"`
	Remove  int `json:"remove"`
	Keep    int `json:"keep"`
}

// Exposure is a host port that leads to a component.
type Exposure struct {
	Address   string `json:"address"`
	HostPort  uint16 `json:"host_port"`
	Component string `json:"component"`
	Port      uint16 `json:"port"`
	Protocol  string `json:"protocol"`
	Beyond    bool   `json:"beyond_loopback"` // other machines may reach it
}

// Unconfined is a setting that takes a part of a component's isolation away.
type Unconfined struct {
	Component string `json:"component"`
	Property  string `json:"property"`
	Value     any    `json:"value"` // as in [Reason]
}

// Unpinned is a component whose image is whatever its source holds, since no
// digest stands in the file.
type Unpinned struct {
	Component string `json:"component"`
	Image     string `json:"image"`
}

// NewDocument makes the document of a plan. warnings are those of who made it;
// refused says that the plan cannot be carried out as things are.
func NewDocument(p *Plan, desired []Desired, warnings diag.List, refused bool) Document {
	order, err := Order(desired)
	if err != nil {
		order = nil // resolving the file has told of the cycle
	}
	return Document{
		FormatVersion: FormatVersion, Project: p.Project, Serial: p.Serial, Refused: refused,
		Summary: Summary{
			Create: p.Count(Create), Replace: p.Count(Replace), Update: p.Count(Update),
			Start: p.Count(Start), Remove: p.Count(Remove), Keep: p.Count(Keep),
		},
		Changes: p.Changes, Order: append([][]string{}, order...),
		Exposures: exposures(desired), Unconfined: unconfined(desired), Unpinned: unpinnedSources(desired),
		Warnings: warnings,
	}
}

// Order returns the layers in which components start: each holds those whose
// needs are all in the layers before it. The error is a [*graph.CycleError].
func Order(desired []Desired) ([][]string, error) {
	var names []string
	var edges []graph.Edge
	for _, d := range desired {
		names = append(names, d.Config.Name)
		for _, on := range d.DependsOn {
			edges = append(edges, graph.Edge{From: d.Config.Name, To: on})
		}
	}
	g, err := graph.New(names, edges)
	if err != nil {
		return nil, err
	}
	return g.Order()
}

// exposures lists the host ports that lead to components, in the file's order
// of components.
func exposures(desired []Desired) []Exposure {
	all := []Exposure{}
	for _, d := range desired {
		for _, e := range d.Config.Network.Expose {
			address, err := netip.ParseAddr(e.Address)
			all = append(all, Exposure{
				Address: e.Address, HostPort: e.HostPort, Component: d.Config.Name, Port: e.ContainerPort,
				Protocol: e.Protocol, Beyond: err != nil || !address.IsLoopback(),
			})
		}
	}
	return all
}

// unconfined lists the settings that take isolation away: system calls that
// are not filtered, capabilities, the host's network, and its devices. A
// writable root file system is none: it is the component's own.
func unconfined(desired []Desired) []Unconfined {
	all := []Unconfined{}
	for _, d := range desired {
		note := func(property string, value any) {
			all = append(all, Unconfined{Component: d.Config.Name, Property: property, Value: value})
		}
		if d.Config.Seccomp == "unconfined" {
			note("seccomp", d.Config.Seccomp)
		}
		if len(d.Config.Capabilities) > 0 {
			note("capabilities", d.Config.Capabilities)
		}
		if d.Config.Network.Mode == container.NetworkHost {
			note("network", string(d.Config.Network.Mode))
		}
		if len(d.Config.Devices) > 0 {
			note("devices", d.Config.Devices)
		}
	}
	return all
}

// unpinnedSources lists the components whose source has no digest in the file.
func unpinnedSources(desired []Desired) []Unpinned {
	all := []Unpinned{}
	for _, d := range desired {
		if !strings.Contains(d.Image.Source, "@sha256:") {
			all = append(all, Unpinned{Component: d.Config.Name, Image: d.Image.Source})
		}
	}
	return all
}
