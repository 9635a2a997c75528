package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// programs fills the directory that `env` puts in front of PATH.
func (p preparer) programs() error {
	if err := os.MkdirAll(p.dir.Bin(), 0o755); err != nil {
		return err
	}
	for name, target := range map[string]string{"kubectl": p.s.Binaries.Kube, "fairlead": p.s.Binaries.Fairlead} {
		if target == "" {
			continue
		}
		if err := os.Symlink(target, filepath.Join(p.dir.Bin(), name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	for name, script := range map[string]string{"aws": p.aws(), "fairlead-lab": p.fairleadLab()} {
		if err := p.write(filepath.Join(p.dir.Bin(), name), []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// aws always names the lab's endpoint: version 2.9, which Debian 12 has, does
// not look at AWS_ENDPOINT_URL and would call the real AWS.
func (p preparer) aws() string {
	return fmt.Sprintf(`#!/bin/sh
# The AWS CLI of this machine, at the endpoint of the lab.
here=%s
PATH=$(printf %%s "$PATH" | tr ':' '\n' | grep -vFx "$here" | paste -sd :)
real=$(command -v aws) || {
	echo "aws: the AWS CLI is not installed; 'apt-get install awscli' on Debian" >&2
	exit 127
}
exec "$real" --endpoint-url %s "$@"
`, shellQuote(p.dir.Bin()), shellQuote("http://"+loopback(p.s.EnginePort).String()))
}

func (p preparer) fairleadLab() string {
	return fmt.Sprintf("#!/bin/sh\n# fairlead-lab, at this lab.\nexec %s --state-dir %s \"$@\"\n",
		shellQuote(p.s.Binaries.Lab), shellQuote(string(p.dir)))
}

// shellQuote makes one word of a POSIX shell.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
