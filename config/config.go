// Package config holds what is published beside the programs and used by the
// lab as it is, so that every run of the lab proves it right.
package config

import _ "embed"

// ControllerPolicy is the IAM policy that the controller needs, as JSON.
//
//go:embed iam/controller-policy.json
var ControllerPolicy []byte
