package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/lab"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// nothingInMaps looks into the maps of every edge's program.
func (w *walk) nothingInMaps(ctx context.Context) error {
	for _, zone := range w.zones {
		argv := []string{"fairlead-lab", "exec", "edge/" + zone, "--", "curl", "-sS", "http://127.0.0.1:7480/state"}
		w.say(argv)
		want := Failure{Expected: "no listener, target or flow in the maps of the edge of " + zone, Look: lab.CommandLine(argv)}
		err := w.await(ctx, 30*time.Second, want, func(ctx context.Context) (string, bool) {
			out, err := w.quiet(ctx, "", argv...)
			if err != nil {
				return err.Error(), false
			}
			return emptyMaps([]byte(out))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// emptyMaps reads an edge's state and reports whether its maps hold nothing.
func emptyMaps(state []byte) (string, bool) {
	var s struct {
		Maps *struct{ Listeners, Targets, Flows int }
	}
	if err := json.Unmarshal(state, &s); err != nil {
		return err.Error(), false
	}
	if s.Maps == nil {
		return "a state without maps", false
	}
	return fmt.Sprintf("%+v", *s.Maps), s.Maps.Listeners == 0 && s.Maps.Targets == 0 && s.Maps.Flows == 0
}

// podNamespaces lists the network namespaces that the Service's pods run in.
func (w *walk) podNamespaces(ctx context.Context) ([]string, error) {
	out, err := w.quiet(ctx, "", "kubectl", "get", "pods", "-l", "app=nginx", "-o", "jsonpath={.items[*].metadata.uid}")
	if err != nil {
		return nil, err
	}
	var names []string
	for uid := range strings.FieldsSeq(out) {
		names = append(names, nodeagent.NetNS(types.UID(uid)))
	}
	if len(names) == 0 {
		return nil, &Failure{Expected: "a pod behind the Service", Seen: "none", Look: "kubectl get pods -A"}
	}
	return names, nil
}

// gone waits until none of the pods' network namespaces is left.
func (w *walk) gone(ctx context.Context, namespaces []string) error {
	w.say([]string{"ip", "netns", "list"})
	want := Failure{Expected: "no network namespace of a pod", Look: "kubectl get pods -A; ip netns list"}
	return w.await(ctx, 30*time.Second, want, func(context.Context) (string, bool) {
		left := slices.DeleteFunc(slices.Clone(namespaces), func(name string) bool { return !netlab.Exists(name) })
		return strings.Join(left, " "), len(left) == 0
	})
}
