package plan

import "github.com/fairlead-lb/fairlead/internal/lb"

// bare is the TLS part that creating or modifying a listener can say: one
// certificate, the default one.
func bare(s lb.Security) lb.Security {
	s.Certificates = s.Certificates[:min(1, len(s.Certificates)):min(1, len(s.Certificates))]
	return s
}

// further are the certificates beside the default one.
func further(s lb.Security) []string { return s.Certificates[min(1, len(s.Certificates)):] }

func sameBare(a, b lb.Security) bool {
	return a.SSLPolicy == b.SSLPolicy && a.ALPNPolicy == b.ALPNPolicy && sameSet(bare(a).Certificates, bare(b).Certificates)
}

// certificates adds further certificates while the old ones still serve. The
// default one may stand among the further ones too: it stays there, AWS refuses
// to remove it.
func (d *differ) certificates(r Resource, want, have lb.Security) {
	if missing := minus(further(want), further(have)); len(missing) > 0 {
		d.add(stageListen, Step{Action: AddListenerCertificates, Resource: r, After: Value{List: missing}, Why: count(len(missing), "certificate") + " to add"})
	}
	if surplus := minus(minus(further(have), further(want)), bare(want).Certificates); len(surplus) > 0 && len(want.Certificates) > 0 {
		d.add(stageUnlisten, Step{Action: RemoveListenerCertificates, Resource: r, Before: Value{List: surplus}, Why: count(len(surplus), "certificate") + " no longer wanted"})
	}
}
