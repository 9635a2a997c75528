package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

// kubeVariable names the Kubernetes binary where no checkout is at hand.
const kubeVariable = "FAIRLEAD_KUBE"

// finder finds the programs of a lab, as far as they are not given.
type finder struct {
	Binaries
	script   string // kube/build.sh of a checkout, when the kube binary comes from there
	problems []problem
}

// findBinaries looks beside this program for fairlead and, unless it is given,
// for the kube binary in the environment or for a checkout that builds it.
func findBinaries(o Options) finder {
	f := finder{Binaries: o.Binaries}
	self, err := os.Executable()
	if err != nil {
		f.problems = append(f.problems, problem{"the path of this program is unknown", err.Error(), "mount /proc"})
		return f
	}
	if f.Lab == "" {
		f.Lab = self
	}
	if f.Fairlead == "" && needsFairlead(o.Without) {
		f.Fairlead = filepath.Join(filepath.Dir(self), "fairlead")
	}
	if f.Kube == "" {
		f.Kube = os.Getenv(kubeVariable)
	}
	if f.Kube == "" {
		f.script = findScript(filepath.Dir(self))
	}
	f.check()
	return f
}

func needsFairlead(without []string) bool {
	for _, kind := range []string{component.Engine, component.Edge, component.Controller, component.NodeHelper} {
		if !slices.Contains(without, kind) {
			return true
		}
	}
	return false
}

// findScript looks for a checkout around this program and around the working
// directory.
func findScript(self string) string {
	dirs := []string{filepath.Dir(self)}
	if wd, err := os.Getwd(); err == nil {
		for dir := wd; ; dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "kube", "build.sh")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

func (f *finder) check() {
	if f.Kube == "" && f.script == "" {
		f.problems = append(f.problems, problem{
			"there is no Kubernetes binary",
			"neither --kube nor " + kubeVariable + " names one, and this is no checkout that could build it",
			"run it from a checkout, or name the binary that 'kube/build.sh' prints",
		})
	}
	for _, p := range []struct{ flag, path string }{{"--kube", f.Kube}, {"--fairlead", f.Fairlead}} {
		if p.path == "" {
			continue
		}
		if _, err := exec.LookPath(p.path); err != nil {
			f.problems = append(f.problems, problem{
				"a program of the lab cannot be run", err.Error(), "run 'make build kube', or name it with " + p.flag,
			})
		}
	}
}

// buildKube runs the checkout's script, which builds the binary or finds it in
// its cache, with its progress on out.
func buildKube(ctx context.Context, script string, out io.Writer) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", script)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the Kubernetes binary: %w", err)
	}
	path := strings.TrimSpace(stdout.String())
	if path == "" {
		return "", errors.New("build the Kubernetes binary: " + script + " printed no path")
	}
	return path, nil
}
