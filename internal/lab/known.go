package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

// askAgain is how often the engine is asked whether it has taken a file.
const askAgain = 20 * time.Millisecond

// instanceKnown returns when the engine knows an instance. On AWS a machine
// exists before its node joins, and controllers rely on that: one that looks a
// new node's instance up in vain may never look again.
func (h *host) instanceKnown(ctx context.Context, id string) error {
	transport := &http.Transport{DialContext: h.dialControl}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		known, err := askInstances(ctx, client)
		if err == nil && slices.Contains(known, id) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until the engine knows the instance %s: %w (asked last: %v, %w)", id, ctx.Err(), known, err)
		}
	}
}

// askInstances asks the engine which instances it knows.
func askInstances(ctx context.Context, client *http.Client) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, component.EngineStateURL(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var state struct {
		Instances []string `json:"instances"`
	}
	err = json.NewDecoder(resp.Body).Decode(&state)
	return state.Instances, err
}
