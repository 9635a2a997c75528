package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/durable"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
)

// stateVersion changes when an older fairlead-lab could not read the file.
const stateVersion = 1

// state is what is written down of a lab; everything else follows from it.
// Up writes it before it makes anything; from then on only the supervisor does.
type state struct {
	Version    int                   `json:"version"`
	Started    time.Time             `json:"started"`
	Prefix     string                `json:"prefix"`
	Zones      []string              `json:"zones"`
	Nodes      []layout.NodeSpec     `json:"nodes"`
	NextNode   int                   `json:"nextNode"` // number of the next node's name
	Cluster    string                `json:"cluster"`
	APIPort    uint16                `json:"apiPort"`    // on host loopback
	EnginePort uint16                `json:"enginePort"` // on host loopback
	Binaries   Binaries              `json:"binaries"`
	Without    []string              `json:"without,omitempty"` // kinds of components left out
	Admin      component.Credentials `json:"admin"`
	Controller component.Credentials `json:"controller"`
	Supervisor process               `json:"supervisor"`

	MadeStateDir bool `json:"madeStateDir"` // Down removes the directory itself, not just its content
	MadeRunDir   bool `json:"madeRunDir"`   // Down removes /run/netns when it is empty
}

// Binaries are the programs that the lab is made of.
type Binaries struct {
	Kube     string `json:"kube"`
	Fairlead string `json:"fairlead"`
	Lab      string `json:"lab"`
}

func loadState(dir component.Dir) (state, error) {
	data, err := os.ReadFile(dir.State())
	if err != nil {
		return state{}, err
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("read %s: %w", dir.State(), err)
	}
	if s.Version != stateVersion {
		return state{}, fmt.Errorf("read %s: version %d, this program knows %d", dir.State(), s.Version, stateVersion)
	}
	return s, nil
}

func (s state) save(dir component.Dir) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(dir.State(), append(data, '\n'), 0o600)
}

func (s state) layout() (layout.Layout, error) { return layout.New(s.Prefix, s.Zones, s.Nodes) }

func (s state) config(dir component.Dir) (component.Config, error) {
	l, err := s.layout()
	return component.Config{
		Layout: l, Dir: dir, Cluster: s.Cluster,
		Kube: s.Binaries.Kube, Fairlead: s.Binaries.Fairlead, Lab: s.Binaries.Lab,
		Controller: s.Controller, Without: s.Without,
	}, err
}

// process names a process for good: numbers are used again, but not with the
// same start time.
type process struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"startTime"` // clock ticks since boot
}

func thisProcess() (process, error) {
	start, err := startTime(os.Getpid())
	return process{PID: os.Getpid(), StartTime: start}, err
}

// alive reports whether the process still runs.
func (p process) alive() bool {
	start, err := startTime(p.PID)
	return p.PID > 0 && err == nil && start == p.StartTime
}

// startTime is field 22 of /proc/PID/stat (proc_pid_stat(5)); the second field
// may contain spaces and ends with the last parenthesis. A zombie counts as
// gone.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("read /proc/%d/stat: unknown form", pid)
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended: %w", pid, os.ErrProcessDone)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
