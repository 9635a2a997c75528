// Package sandbox runs containers: processes with a root file system, network,
// host name and PID numbering of their own, assembled from the machine's own
// programs by bind mounts.
//
// A container's first process is number 1 of its PID namespace and dies with
// the thread that started it, so that the kernel ends everything of a
// container when the agent ends, however it does. All mounts are made in the
// container's own mount namespace and end with it.
package sandbox

// Spec is what a container's first process is told before it becomes the
// container's program. It travels as JSON over a pipe: nothing of it, such as
// an environment with secrets, is written to disk.
type Spec struct {
	Root         string            `json:"root"`     // an empty directory to assemble the root on
	NetNS        string            `json:"netNS"`    // name of the network namespace; empty: the agent's
	Hostname     string            `json:"hostname"` //
	Files        map[string]string `json:"files"`    // contents of small files by path, such as /etc/hosts
	Scripts      map[string]string `json:"scripts"`  // likewise, executable
	Binds        []Bind            `json:"binds"`    // in order
	Argv         []string          `json:"argv"`     //
	Env          []string          `json:"env"`      // NAME=value
	Dir          string            `json:"dir"`      // empty: /
	Cred         Cred              `json:"cred"`     //
	ReadOnlyRoot bool              `json:"readOnlyRoot"`
}

// Bind puts a file or directory of the machine into the container.
type Bind struct {
	Source   string `json:"source"`
	SubPath  string `json:"subPath"` // inside Source, made if missing; it cannot lead out of Source
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly"`
}

// Cred is whom a process runs as and what it may do.
type Cred struct {
	UID          int      `json:"uid"`
	GID          int      `json:"gid"`
	Groups       []int    `json:"groups"`
	Capabilities []string `json:"capabilities"` // without CAP_; ALL for all
	NoNewPrivs   bool     `json:"noNewPrivs"`
}
