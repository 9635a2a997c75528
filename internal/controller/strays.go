package controller

import (
	"context"
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/cloud"
	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/owner"
)

// findStrays looks for what has our tags and belongs to no Service. It is told
// of and left alone: the user may want it, and we may not know everything.
func (r *Reconciler) findStrays(ctx context.Context, tags map[string]map[string]string, security []cloud.SecurityGroup, known onRecord) error {
	stray := func(tags map[string]string) bool {
		uid := tags[owner.TagUID]
		return uid != "" && !known.uids[types.UID(uid)]
	}
	strays := map[string]string{}
	var arns []string
	for arn, t := range tags {
		if kind, _ := partsOf(arn); kind != "" && stray(t) {
			arns = append(arns, arn)
		}
	}
	// The tagging API may tell of what has gone already.
	there, err := (&observer{api: r.api}).describeTags(ctx, arns)
	if err != nil {
		return err
	}
	for arn, t := range there {
		strays[arn] = t[owner.TagService]
	}
	for _, g := range security {
		if g.Tags[owner.TagCluster] == r.opts.Cluster && stray(g.Tags) {
			strays[g.ID] = g.Tags[owner.TagService]
		}
	}
	for _, text := range r.strayRules(security, known.rules) {
		strays[text] = ""
	}
	for id, service := range strays {
		if _, known := r.strays[id]; !known {
			r.log.Warn("resource of a Service that is gone; delete it if nobody needs it", "resource", id, "service", service)
		}
	}
	r.strays = strays
	r.metrics.strays.Set(float64(len(strays)))
	return nil
}

// strayRules are the rules of ours in the nodes' groups that are on no Service's
// record.
func (r *Reconciler) strayRules(security []cloud.SecurityGroup, known map[lb.Rule]bool) (out []string) {
	for _, g := range nodesOf(security) {
		for _, rule := range r.shared.unclaimed(g, known) {
			out = append(out, fmt.Sprintf("%s: %s %d from %s%s", g.ID, rule.Protocol, rule.FromPort, addressText(rule.Source), rule.SourceList))
		}
	}
	return out
}

func addressText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}
