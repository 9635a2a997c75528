// Command apidoc writes the reference of both versions of the Elastic Load
// Balancing API: which action works, what of it is left out, and which are
// refused.
//
// The actions and refusals are the engine's own, so that the page cannot say
// what the engine does not do; a test compares the page with them and with the
// operations of AWS's SDK.
package main

//go:generate go run . ../../../docs/reference/api.md

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/engine/elb"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apidoc FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], page(), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

// section is one version of the API on the page.
type section struct {
	title, intro string
	api          wire.API
	notes        map[string]string // by action
}

// sections are what the page shows. Descriptions of actions need no state.
func sections() []section {
	return []section{
		{"Network Load Balancers", networkIntro, new(elbv2.Service).API(), networkNotes},
		{"Classic Load Balancers", classicIntro, new(elb.Service).API(), classicNotes},
	}
}

const header = `<!-- Made by go generate ./internal/engine/apidoc; do not edit. -->

# The Elastic Load Balancing API

The engine answers every action of both versions of AWS's API on one address; ` + "`Version`" + ` tells them apart.
Requests are signed with SigV4 for the service ` + "`elasticloadbalancing`" + ` and judged by IAM policies in AWS's words.
An action that *works* keeps its state and has its effect; one that is *refused* is authorised, checked and answered with an error of AWS's shape.
`

// page is the whole page.
func page() []byte {
	b := bytes.NewBufferString(header)
	for _, s := range sections() {
		s.write(b)
	}
	return b.Bytes()
}

func (s section) write(b *bytes.Buffer) {
	actions := slices.SortedFunc(slices.Values(s.api.Actions), func(a, b wire.Action) int { return cmp.Compare(a.Name(), b.Name()) })
	refused := 0
	for _, a := range actions {
		if a.Refusal() != "" {
			refused++
		}
	}
	fmt.Fprintf(b, "\n## %s: version %s\n\n%s\n\n", s.title, s.api.Version, s.intro)
	fmt.Fprintf(b, "%d actions, of which %d work and %d are refused.\n\n", len(actions), len(actions)-refused, refused)
	b.WriteString("| action | here | what to know |\n|---|---|---|\n")
	for _, a := range actions {
		status, note := "works", s.notes[a.Name()]
		if a.Refusal() != "" {
			status, note = "refused", a.Refusal()
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", a.Name(), status, note)
	}
}
