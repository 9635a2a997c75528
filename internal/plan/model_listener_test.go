package plan_test

import (
	"fmt"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/lb"
	"github.com/fairlead-lb/fairlead/internal/plan"
)

func (m *model) doListener(s plan.Step) error {
	b := m.balancers[s.Resource.Name]
	if b == nil {
		return fmt.Errorf("LoadBalancerNotFound %s", s.Resource.Name)
	}
	l, exists := b.listeners[s.Resource.Port]
	if exists != (s.Action != plan.CreateListener) {
		return fmt.Errorf("%s of listener %d, exists: %t", s.Action, s.Resource.Port, exists)
	}
	switch s.Action {
	case plan.DeleteListener:
		delete(b.listeners, s.Resource.Port)
		return nil
	case plan.CreateListener:
		l = *s.After.Listener
	case plan.ModifyListener:
		if err := m.checkMove(l, *s.After.Listener); err != nil {
			return err
		}
		rest := l.Security.Certificates[min(1, len(l.Security.Certificates)):]
		next := s.After.Listener
		l.Protocol, l.Forward, l.Stickiness, l.Security = next.Protocol, next.Forward, next.Stickiness, next.Security
		if l.Protocol == lb.TLS {
			l.Security.Certificates = slices.Concat(l.Security.Certificates, rest)
		}
	case plan.AddListenerCertificates:
		if l.Protocol != lb.TLS {
			return fmt.Errorf("certificates on a %s listener", l.Protocol)
		}
		l.Security.Certificates = slices.Concat(l.Security.Certificates, s.After.List)
	case plan.RemoveListenerCertificates:
		if slices.Contains(s.Before.List, l.Security.Certificates[0]) {
			return fmt.Errorf("OperationNotPermitted: the default certificate")
		}
		l.Security.Certificates = slices.DeleteFunc(slices.Clone(l.Security.Certificates), func(c string) bool { return slices.Contains(s.Before.List, c) })
	case plan.ModifyListenerAttributes:
		l.Attributes = overlay(l.Attributes, s.After.Map)
	case plan.AddTags:
		l.Tags = overlay(l.Tags, s.After.Map)
	case plan.RemoveTags:
		l.Tags = without(l.Tags, s.Before.List)
	}
	if (s.Action == plan.CreateListener || s.Action == plan.ModifyListener) && (l.Protocol == lb.TLS) != (len(s.After.Listener.Security.Certificates) == 1) {
		return fmt.Errorf("ValidationError: %s listener with certificates %v", l.Protocol, s.After.Listener.Security.Certificates)
	}
	b.listeners[s.Resource.Port] = l
	return m.checkForward(b.Name, l)
}

// checkMove is make before break: a listener that stays with its protocol
// gives new connections only to groups that had some or were seen healthy,
// unless there is nothing to lose.
func (m *model) checkMove(old, l plan.Listener) error {
	from := heaviest(old.Forward)
	if old.Protocol != l.Protocol || m.groups[from] == nil && from != foreign {
		return nil
	}
	if len(old.Forward) > 1 && !slices.ContainsFunc(old.Forward, func(f plan.Forward) bool { return f.Weight > 0 }) {
		return nil
	}
	all := map[string]bool{}
	for _, f := range slices.Concat(old.Forward, l.Forward) {
		all[f.TargetGroup] = true
	}
	for _, f := range l.Forward {
		served := slices.ContainsFunc(old.Forward, func(o plan.Forward) bool {
			return o.TargetGroup == f.TargetGroup && (o.Weight > 0 || len(old.Forward) == 1)
		})
		idle := f.Weight == 0 && len(l.Forward) > 1
		if served || idle || m.probed[f.TargetGroup] || !f.Foreign && m.groups[f.TargetGroup] != nil && len(m.groups[f.TargetGroup].Targets) == 0 {
			continue
		}
		if len(all) <= lb.MaxForward { // with more there is no room to prove all
			return fmt.Errorf("listener %d moves to target group %s, which was not seen healthy", l.Port, f.TargetGroup)
		}
	}
	return nil
}

func (m *model) checkForward(name string, l plan.Listener) error {
	if len(l.Forward) > lb.MaxForward {
		return fmt.Errorf("TooManyUniqueTargetGroupsPerLoadBalancer: %v", l.Forward)
	}
	for _, f := range l.Forward {
		if users := m.usedBy(f.TargetGroup); len(users) > 1 {
			return fmt.Errorf("TargetGroupAssociationLimit: %s used by %v and %s", f.TargetGroup, users, name)
		}
		if f.Foreign {
			continue
		}
		g := m.groups[f.TargetGroup]
		if g == nil {
			return fmt.Errorf("TargetGroupNotFound %s", f.TargetGroup)
		}
		if g.Protocol != l.Protocol && (l.Protocol != lb.TLS || g.Protocol != lb.TCP) {
			return fmt.Errorf("InvalidConfigurationRequest: listener %s, target group %s", l.Protocol, g.Protocol)
		}
	}
	return nil
}

func heaviest(forward []plan.Forward) string {
	return slices.MaxFunc(forward, func(a, b plan.Forward) int { return a.Weight - b.Weight }).TargetGroup
}

func (m *model) usedBy(name string) (users []string) {
	for _, b := range m.balancers {
		for _, l := range b.listeners {
			for _, f := range l.Forward {
				if f.TargetGroup == name && !slices.Contains(users, b.Name) {
					users = append(users, b.Name)
				}
			}
		}
	}
	return users
}
