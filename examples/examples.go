// Package examples holds the manifests and the inventory that the documentation
// shows, so that what is shown is what the demo and the tests run.
package examples

import "embed"

// FS holds every file by its name.
//
//go:embed *.yaml
var FS embed.FS
