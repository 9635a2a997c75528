package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"
)

//go:embed manifest.yaml
var manifest string

// disturbance is something that no connection to a target that stays may feel.
type disturbance struct {
	what string
	do   func(context.Context) error
}

func (h *house) disturbances() []disturbance {
	restart := func(name string, kill bool) func(context.Context) error {
		return func(ctx context.Context) error { return h.Restart(ctx, name, kill) }
	}
	zones := h.Layout().Zones
	return []disturbance{
		{"kill the engine", restart("engine", true)},
		{"kill an edge", restart("edge-"+zones[0].Name, true)},
		{"a target comes and goes", h.churn},
		{"restart the engine", restart("engine", false)},
		{"a target fails its checks and passes them again", h.flap},
		{"restart the other edge", restart("edge-"+zones[1].Name, false)},
		{"kill the controller", restart("controller", true)},
	}
}

// disturb goes through the disturbances again and again and counts them.
func (h *house) disturb(ctx context.Context, c config) (int, error) {
	end := time.Now().Add(c.length)
	for done := 0; ; {
		for _, d := range h.disturbances() {
			if time.Now().After(end) {
				return done, nil
			}
			progress("%s", d.what)
			if err := d.do(ctx); err != nil {
				return done, fmt.Errorf("%s: %w", d.what, err)
			}
			done++
			if err := sleep(ctx, c.pause); err != nil {
				return done, err
			}
		}
	}
}

// serve applies the manifest and returns an address of the load balancer once
// all targets are healthy.
func (h *house) serve(ctx context.Context) (string, error) {
	if _, err := h.input(ctx, manifest, "kubectl", "apply", "-f", "-"); err != nil {
		return "", err
	}
	if err := h.healthy(ctx, nodes); err != nil {
		return "", err
	}
	host, err := h.run(ctx, "kubectl", "get", "service", "soak", "-o", "jsonpath={.status.loadBalancer.ingress[0].hostname}")
	if err != nil {
		return "", err
	}
	return h.resolve(ctx, host)
}

// resolve asks the lab's DNS as a client does.
func (h *house) resolve(ctx context.Context, host string) (string, error) {
	out, err := h.run(ctx, "fairlead-lab", "exec", "client", "--", "getent", "ahostsv4", host)
	if err != nil {
		return "", err
	}
	fields := strings.Fields(out)
	if len(fields) == 0 {
		return "", fmt.Errorf("%s has no address", host)
	}
	return fields[0] + ":80", nil
}

// client is the namespace of a client outside the VPC.
func (h *house) client() string { return h.Layout().Prefix + "client" }

// churn adds a node, waits until it is a healthy target, and takes it away.
func (h *house) churn(ctx context.Context) error {
	node, err := h.AddNode(ctx, h.Layout().Zones[0].Name)
	if err != nil {
		return err
	}
	if err := h.healthy(ctx, nodes+1); err != nil {
		return err
	}
	if err := h.RemoveNode(ctx, node.Name); err != nil {
		return err
	}
	return h.healthy(ctx, nodes)
}

// flap makes one pod unready until its node fails the checks.
func (h *house) flap(ctx context.Context) error {
	pod, err := h.run(ctx, "kubectl", "get", "pods", "-l", "app=soak", "-o", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return err
	}
	if _, err := h.run(ctx, "kubectl", "exec", pod, "--", "sh", "-c", "echo > /switch/off"); err != nil {
		return err
	}
	unhealthy := h.healthy(ctx, nodes-1)
	if _, err := h.run(ctx, "kubectl", "exec", pod, "--", "rm", "/switch/off"); err != nil {
		return errors.Join(unhealthy, err)
	}
	return errors.Join(unhealthy, h.healthy(ctx, nodes))
}

// healthy waits until so many targets are healthy.
func (h *house) healthy(ctx context.Context, want int) error {
	deadline := time.Now().Add(90 * time.Second)
	for {
		seen, err := h.states(ctx)
		if err == nil && strings.Count(" "+seen, " healthy") == want {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d healthy targets: not so within 90 s; seen last: %s %w", want, seen, err)
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

func (h *house) states(ctx context.Context) (string, error) {
	arn, err := h.run(ctx, "aws", "elbv2", "describe-target-groups", "--query", "TargetGroups[0].TargetGroupArn", "--output", "text")
	if err != nil {
		return "", err
	}
	out, err := h.run(ctx, "aws", "elbv2", "describe-target-health", "--target-group-arn", strings.TrimSpace(arn), "--query", "TargetHealthDescriptions[].TargetHealth.State", "--output", "text")
	return strings.Join(strings.Fields(out), " "), err
}

func (h *house) run(ctx context.Context, argv ...string) (string, error) {
	return h.input(ctx, "", argv...)
}

// input runs a command with the lab's environment.
func (h *house) input(ctx context.Context, input string, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return h.Output(ctx, input, argv...)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
