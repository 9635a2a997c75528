package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// nothingInMaps looks into the maps of every edge's program.
func (w *walk) nothingInMaps(ctx context.Context) error {
	for _, zone := range w.zones {
		argv := []string{"fairlead-lab", "exec", "edge/" + zone, "--", "curl", "-sS", "http://127.0.0.1:7480/state"}
		w.say(argv)
		want := Failure{Expected: "no listener, target or flow in the maps of the edge of " + zone, Look: quote(argv)}
		err := w.await(ctx, 30*time.Second, want, func(ctx context.Context) (string, bool) {
			out, err := w.quiet(ctx, nil, argv...)
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

// noPods waits until the pods' network namespaces are gone.
func (w *walk) noPods(ctx context.Context) error {
	w.say([]string{"ip", "netns", "list"})
	want := Failure{Expected: "no network namespace of a pod", Look: "kubectl get pods -A; ip netns list"}
	return w.await(ctx, 30*time.Second, want, func(context.Context) (string, bool) {
		entries, err := os.ReadDir("/run/netns")
		if err != nil {
			return err.Error(), false
		}
		var left []string
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), w.prefix+"pod-") {
				left = append(left, e.Name())
			}
		}
		return strings.Join(left, " "), len(left) == 0
	})
}
