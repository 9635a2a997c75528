package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/fairlead-lb/fairlead/internal/cloud/plainbody"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/netlab"
)

// engineProcess is `fairlead engine` as its users run it, in a process of its own.
type engineProcess struct {
	program, dir string
	address      string // of the API
	metrics      string
	edges        string // where it listens for edges
	key          directory.Key
	cmd          *exec.Cmd

	launcher  *netlab.Launcher // nil: it runs in the caller's namespace
	namespace string
}

// start starts an engine on the state in dir, and returns with the time
// from there to its first answer.
func (e *engineProcess) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(e.dir, "engine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close() // the process has its own
	e.cmd = exec.CommandContext(ctx, e.program, "engine", "--http", "--listen="+e.address, "--edge-listen="+e.edges, "--dns-listen=",
		"--metrics-listen="+e.metrics, "--state-dir="+filepath.Join(e.dir, "state"), "--inventory="+filepath.Join(e.dir, "inventory.yaml"),
		"--region="+region, "--account-id="+accountID)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	e.cmd.SysProcAttr = diesWithParent()
	begin := time.Now()
	if err := e.launch(); err != nil {
		return 0, err
	}
	for e.ask() != nil {
		if time.Since(begin) > time.Minute {
			return 0, fmt.Errorf("the engine does not answer: %w; its log is %s", e.ask(), log.Name())
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(begin), nil
}

func (e *engineProcess) launch() error {
	if e.launcher == nil {
		return e.cmd.Start()
	}
	return e.launcher.Start(e.cmd, e.namespace)
}

// diesWithParent has a process not outlive this one, however it ends.
func diesWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// http is a client with so many connections, where the engine is.
func (e *engineProcess) http(connections int) *http.Client {
	t := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	if e.launcher != nil {
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return netlab.Dial(ctx, e.namespace, network, address)
		}
	}
	return &http.Client{Transport: t}
}

// ask sends the cheapest request that the API answers: one without a signature.
func (e *engineProcess) ask() error {
	client := e.http(1)
	defer client.CloseIdleConnections()
	resp, err := client.Post("http://"+e.address, "application/x-www-form-urlencoded", strings.NewReader("Action=DescribeLoadBalancers&Version=2015-12-01"))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (e *engineProcess) stop() error {
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return e.cmd.Wait()
}

// newEngineProcess prepares an engine that knows n instances.
func newEngineProcess(program, dir string, n int) (*engineProcess, error) {
	if _, err := writeNetwork(dir, n); err != nil {
		return nil, err
	}
	e := &engineProcess{program: program, dir: dir}
	var err error
	if e.address, err = freeAddress(); err != nil {
		return nil, err
	}
	if e.metrics, err = freeAddress(); err != nil {
		return nil, err
	}
	if e.edges, err = freeAddress(); err != nil {
		return nil, err
	}
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return nil, err
	}
	e.key, _, err = directory.LoadRootKey(filepath.Join(state, "root-key.json"))
	return e, err
}

// client is the SDK's, with connections for as many callers as asked for.
func (e *engineProcess) client(callers int) *elbv2.Client {
	return elbv2.New(elbv2.Options{
		Region: region, BaseEndpoint: aws.String("http://" + e.address), HTTPClient: plainbody.Client(e.http(callers)), Credentials: e.credentials(),
	})
}

func (e *engineProcess) credentials() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(e.key.AccessKeyID, e.key.SecretAccessKey, "")
}

// allocations is how many objects the engine has allocated since its start.
func (e *engineProcess) allocations() (float64, error) {
	return scrape(http.DefaultClient, e.metrics, "go_memstats_mallocs_total")
}

// scrape asks a process for one of its metrics.
func scrape(client *http.Client, address, name string) (float64, error) {
	resp, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return metric(resp.Body, name)
}

// metric finds a value in Prometheus' text format, the sum over all labels.
func metric(r io.Reader, name string) (sum float64, err error) {
	found := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || !strings.HasPrefix(rest, " ") && !strings.HasPrefix(rest, "{") {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read metric %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if err := lines.Err(); err != nil || found {
		return sum, err
	}
	return 0, fmt.Errorf("there is no metric %s", name)
}

// processorSeconds is what a process has used.
type processorSeconds struct{ user, system float64 }

// processorTime reads proc_pid_stat(5), whose unit is a hundredth of a second.
func processorTime(pid int) (t processorSeconds, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return t, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])) // the third field is the first
	if len(fields) < 13 {
		return t, fmt.Errorf("process %d has no times", pid)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return processorSeconds{user / 100, system / 100}, errors.Join(err1, err2)
}

// resident is memory that a process holds, in MB of a million bytes: all of it
// (VmRSS), or a part by the kernel's name (proc_pid_status(5)).
func resident(pid int, part string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == part+":" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			return kib * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, part)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
