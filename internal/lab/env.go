package lab

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Env is what a shell needs to use the lab, as NAME=value: the administrator's
// kubeconfig and access key, the endpoint, and the lab's programs in front of
// the PATH.
func (l *Lab) Env() []string {
	return []string{
		"KUBECONFIG=" + l.Kubeconfig(),
		"KUBECACHEDIR=" + filepath.Join(string(l.dir), "kubecache"), // a cache of another lab would be wrong
		"AWS_ENDPOINT_URL=" + l.EngineURL(),
		"AWS_REGION=" + l.layout.Region,
		"AWS_DEFAULT_REGION=" + l.layout.Region,
		"AWS_ACCESS_KEY_ID=" + l.state.Admin.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + l.state.Admin.SecretAccessKey,
		"AWS_EC2_METADATA_DISABLED=true",
		"AWS_PAGER=",
		"PATH=" + frontOfPath(os.Getenv("PATH"), l.dir.Bin()),
	}
}

// frontOfPath puts a directory first, once.
func frontOfPath(path, dir string) string {
	parts := []string{dir}
	for p := range strings.SplitSeq(path, ":") {
		if p != dir && p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ":")
}

// unset names variables that would lead the AWS CLI elsewhere.
func unset() []string { return []string{"AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"} }

// PrintEnv writes Env as commands for a POSIX shell to evaluate.
func (l *Lab) PrintEnv(w io.Writer) {
	for _, v := range l.Env() {
		name, value, _ := strings.Cut(v, "=")
		fmt.Fprintf(w, "export %s=%s\n", name, shellQuote(value))
	}
	fmt.Fprintf(w, "unset %s\n", strings.Join(unset(), " "))
}

// EnvCommand is the command line that prints Env, of a program called as given.
func (l *Lab) EnvCommand(program string) string {
	if string(l.dir) == DefaultStateDir {
		return program + " env"
	}
	return program + " --state-dir " + shellQuote(string(l.dir)) + " env"
}
