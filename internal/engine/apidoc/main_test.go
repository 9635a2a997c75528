package main

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	classic "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	network "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/google/go-cmp/cmp"
)

func TestThePageIsWhatTheEngineDoes(t *testing.T) {
	written, err := os.ReadFile("../../../docs/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(page()), string(written)); diff != "" {
		t.Errorf("docs/reference/api.md is not up to date: run go generate ./internal/engine/apidoc (-want +got):\n%s", diff)
	}
}

// operations are those of an SDK client: its methods but Options.
func operations(client any) []string {
	var names []string
	for m := range reflect.TypeOf(client).Methods() {
		if m.Name != "Options" {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestEveryOperationOfTheSDKIsAnswered(t *testing.T) {
	all := sections()
	for i, c := range []struct {
		client any
		count  int
	}{{&network.Client{}, 51}, {&classic.Client{}, 29}} {
		want := operations(c.client)
		if len(want) != c.count {
			t.Errorf("%s: the SDK has %d operations, this test was written for %d", all[i].title, len(want), c.count)
		}
		var got []string
		for _, a := range all[i].api.Actions {
			got = append(got, a.Name())
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: actions (-SDK +engine):\n%s", all[i].title, diff)
		}
	}
}

func TestNotesAreAboutActionsThatWork(t *testing.T) {
	for _, s := range sections() {
		working := map[string]bool{}
		for _, a := range s.api.Actions {
			working[a.Name()] = a.Refusal() == ""
		}
		for name, note := range s.notes {
			if !working[name] {
				t.Errorf("%s: a note on %s, which is no action that works", s.title, name)
			}
			if strings.ContainsAny(note, "|\n") {
				t.Errorf("%s: the note on %s breaks the table", s.title, name)
			}
		}
	}
}
