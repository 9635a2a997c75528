// Package examples holds the manifests that the documentation shows and the
// demo applies, so that what is shown is what is run.
package examples

import "embed"

// FS holds every manifest by file name.
//
//go:embed *.yaml
var FS embed.FS
