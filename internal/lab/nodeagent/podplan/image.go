// Package podplan turns a pod's specification into what its sandbox needs:
// argument vectors, environments, files of volumes, name resolution.
//
// It is pure: everything that a specification refers to is handed in by
// [Sources], and the same input gives the same plan.
package podplan

import (
	"fmt"
	"strings"
)

// Paths inside every container where the lab's own programs are found.
const (
	AgnhostPath = "/agnhost"           // the multi-call kube binary, under agnhost's name
	LabPath     = "/fairlead/lab"      // fairlead-lab
	FactsPath   = "/fairlead/pod.json" // Facts of the pod
	BinDir      = "/fairlead/bin"      // first in PATH
)

// Image is a program of the lab under the name of a container image.
type Image struct {
	Entrypoint []string // replaced by a container's command
	Cmd        []string // replaced by a container's args, dropped by its command
}

// catalogue lists what exists, by repository; a tag or digest is not looked at.
// Entry points and default arguments are the upstream images'.
func catalogue() []entry {
	return []entry{
		{"nginx", "a built-in HTTP server on port 80 that tells what it sees", Image{Cmd: []string{"nginx"}}},
		{"registry.k8s.io/e2e-test-images/agnhost", "the server and client of Kubernetes' own tests", Image{Entrypoint: []string{AgnhostPath}, Cmd: []string{"pause"}}},
		{"registry.k8s.io/pause", "waits to be stopped", Image{Entrypoint: []string{AgnhostPath, "pause"}}},
	}
}

type entry struct {
	repository string
	about      string
	image      Image
}

// LookupImage finds the program behind an image reference. The error of an
// unknown image lists those that exist.
func LookupImage(ref string) (Image, error) {
	repo := repository(ref)
	for _, e := range catalogue() {
		if repo == e.repository {
			return e.image, nil
		}
	}
	var have []string
	for _, e := range catalogue() {
		have = append(have, fmt.Sprintf("%s (%s)", e.repository, e.about))
	}
	return Image{}, fmt.Errorf("the lab has no image %q and downloads none; it has, with any tag: %s", ref, strings.Join(have, ", "))
}

// repository strips tag and digest, and the names that Docker Hub's own images
// may be written with.
func repository(ref string) string {
	repo, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	repo = strings.TrimPrefix(repo, "docker.io/")
	return strings.TrimPrefix(repo, "library/")
}
