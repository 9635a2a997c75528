package intent

import (
	corev1 "k8s.io/api/core/v1"
	"slices"
)

// Classes of load balancers that are ours.
const (
	ClassNLB     = "fairlead.io/nlb"
	ClassClassic = "fairlead.io/classic"
)

// Finalizer is ours: a Service that has it has, or may have, things in AWS.
const Finalizer = "fairlead.io/load-balancer"

// Claim says what a Service is to us.
type Claim int

// Claims.
const (
	NotOurs Claim = iota
	NLB
	Classic
)

// ClaimOf says whether the Service is ours, and which kind of load balancer it
// asks for. A class decides alone. A Service without one is ours when
// takeUnclassed says so, or when it was ours before (it has our finalizer).
//
// An unknown type is claimed as NLB: Desired then says what is wrong with it,
// which nobody would if it were not ours.
func ClaimOf(svc *corev1.Service, takeUnclassed bool) Claim {
	if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return NotOurs
	}
	if class := svc.Spec.LoadBalancerClass; class != nil {
		switch *class {
		case ClassNLB:
			return NLB
		case ClassClassic:
			return Classic
		}
		return NotOurs
	}
	if !takeUnclassed && !HasFinalizer(svc) {
		return NotOurs
	}
	if _, ok := svc.Annotations[prefixAWS+"type"]; ok {
		return NLB
	}
	return Classic
}

// HasFinalizer says whether the Service has our finalizer.
func HasFinalizer(svc *corev1.Service) bool {
	return slices.Contains(svc.Finalizers, Finalizer)
}
