package nodeagent

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/nginx"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
)

// sandboxSpec turns a container's plan into what its first process is told.
func (w *worker) sandboxSpec(r *containerRun) sandbox.Spec {
	s := sandbox.Spec{
		Root:     w.rootDir(),
		NetNS:    w.netNS(),
		Hostname: podplan.Hostname(w.pod, w.a.cfg.NodeName),
		Files: map[string]string{
			"/etc/hosts":       podplan.Hosts(w.pod, w.src),
			"/etc/resolv.conf": podplan.ResolvConf(w.pod, w.src),
			podplan.FactsPath:  w.facts(),
		},
		Scripts: map[string]string{
			filepath.Join(podplan.BinDir, "nginx"): fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", podplan.LabPath, nginx.CommandName),
		},
		Binds: []sandbox.Bind{
			{Source: w.a.cfg.KubeBinary, Target: podplan.AgnhostPath, ReadOnly: true},
			{Source: w.a.cfg.LabBinary, Target: podplan.LabPath, ReadOnly: true},
		},
		Argv: r.plan.Argv, Env: r.plan.Env, Dir: r.plan.Dir, Cred: cred(r.plan), ReadOnlyRoot: r.plan.ReadOnlyRoot,
	}
	for _, m := range r.plan.Mounts {
		s.Binds = append(s.Binds, sandbox.Bind{Source: w.volumeDir(m.Volume), SubPath: m.SubPath, Target: m.Path, ReadOnly: m.ReadOnly})
	}
	return s
}

func cred(p podplan.Container) sandbox.Cred {
	return sandbox.Cred{
		UID: p.User.UID, GID: p.User.GID, Groups: p.User.Groups,
		Capabilities: p.Capabilities, NoNewPrivs: p.NoNewPrivs,
	}
}

// facts is what the built-in HTTP server tells about its pod.
func (w *worker) facts() string {
	text, _ := json.Marshal(nginx.Facts{ // strings always encode
		Pod: w.pod.Name, Namespace: w.pod.Namespace, Node: w.a.cfg.NodeName, Zone: w.a.cfg.Zone, PodIPs: w.podIPs(),
	})
	return string(text)
}
