// Package config holds what is published beside the programs and used by the
// lab as it is, so that every run of the lab proves it right.
package config

import _ "embed"

// ControllerPolicy is the IAM policy that the controller needs, as JSON.
//
//go:embed iam/controller-policy.json
var ControllerPolicy []byte

// ControllerRBAC is what the controller may do in Kubernetes, as YAML: a service
// account of kube-system with its roles.
//
//go:embed rbac/controller.yaml
var ControllerRBAC string

// ClassPolicy stamps the class of new Services of type LoadBalancer, as YAML: a
// MutatingAdmissionPolicy with what it needs.
//
//go:embed admission/load-balancer-class.yaml
var ClassPolicy string

// ReadinessGatePolicy gives the pods of labelled namespaces their readiness
// gate, as YAML: a MutatingAdmissionPolicy with what it needs.
//
//go:embed admission/pod-readiness-gate.yaml
var ReadinessGatePolicy string
