package nodeagent

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/kubeletapi"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podlog"
	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/sandbox"
)

// backend is the agent as the kubelet API sees it.
type backend struct{ a *agent }

func (a *agent) serveKubeletAPI(failed func(error)) (*kubeletapi.Server, error) {
	return kubeletapi.Serve(kubeletapi.Config{
		Listen: a.cfg.KubeletListen.String(), ClientCAFile: a.cfg.ClientCAFile,
		CertFile: a.cfg.ServingCertFile, KeyFile: a.cfg.ServingKeyFile, Logger: a.log,
	}, backend{a}, failed)
}

// Pods returns the pods of the node as the API server has them.
func (b backend) Pods() []corev1.Pod {
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	var out []corev1.Pod
	for _, w := range b.a.workers {
		out = append(out, *w.newest().DeepCopy())
	}
	return out
}

func (w *worker) newest() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.latest
}

// PodUID finds a pod by its name.
func (b backend) PodUID(namespace, name string) (string, error) {
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	for uid, w := range b.a.workers {
		if p := w.newest(); p.Namespace == namespace && p.Name == name {
			return string(uid), nil
		}
	}
	return "", fmt.Errorf("pod %s/%s on node %s: %w", namespace, name, b.a.cfg.NodeName, kubeletapi.ErrNotFound)
}

func (b backend) worker(uid string) (*worker, error) {
	b.a.mu.Lock()
	defer b.a.mu.Unlock()
	if w := b.a.workers[types.UID(uid)]; w != nil {
		return w, nil
	}
	return nil, fmt.Errorf("pod with UID %s on node %s: %w", uid, b.a.cfg.NodeName, kubeletapi.ErrNotFound)
}

func (b backend) container(uid, name string) (*containerRun, error) {
	w, err := b.worker(uid)
	if err != nil {
		return nil, err
	}
	return w.find(name, false)
}

// Logs returns the log of a container's present or former run.
func (b backend) Logs(namespace, pod, container string, previous bool) (*podlog.Log, error) {
	uid, err := b.PodUID(namespace, pod)
	if err != nil {
		return nil, err
	}
	w, err := b.worker(uid)
	if err != nil {
		return nil, err
	}
	r, err := w.find(container, previous)
	if err != nil {
		return nil, err
	}
	return r.log, nil
}

// ExecInContainer runs a command in a container with the caller's streams.
func (b backend) ExecInContainer(ctx context.Context, _, uid, container string, argv []string, in io.Reader, out, errOut io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, timeout time.Duration) error {
	r, err := b.container(uid, container)
	if err != nil {
		return err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	env := r.plan.Env
	if tty {
		env = append([]string{"TERM=xterm"}, env...)
	}
	code, err := r.proc.Exec(ctx, sandbox.Command{
		Argv: argv, Env: env, Dir: r.plan.Dir, Cred: cred(r.plan),
		Stdin: in, Stdout: writer(out), Stderr: writer(errOut), TTY: tty, Resize: sizes(resize),
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return nil
}

// writer keeps a stream that was not opened nil, which an interface would hide.
func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// sizes converts the terminal's sizes until their channel is closed.
func sizes(in <-chan remotecommand.TerminalSize) <-chan sandbox.Size {
	if in == nil {
		return nil
	}
	out := make(chan sandbox.Size)
	go func() {
		defer close(out)
		for s := range in {
			select {
			case out <- sandbox.Size{Columns: s.Width, Rows: s.Height}:
			case <-time.After(time.Second): // nobody resizes any more
			}
		}
	}()
	return out
}

// AttachContainer shows what a container writes from now on, and hands it what
// the caller types if it asked for stdin.
func (b backend) AttachContainer(ctx context.Context, _, uid, container string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	r, err := b.container(uid, container)
	if err != nil {
		return err
	}
	var outputs sync.WaitGroup
	for from, to := range map[*fan]io.Writer{&r.out: writer(out), &r.errOut: writer(errOut)} {
		if to != nil {
			sub := from.join()
			outputs.Go(func() { from.copyTo(ctx, to, sub) })
		}
	}
	if in != nil && r.streams.Stdin != nil {
		go r.feed(in) // ends with the caller's stream or with the container
	}
	if resize != nil {
		go func() {
			for s := range resize {
				_ = r.streams.Resize(sandbox.Size{Columns: s.Width, Rows: s.Height}) // the container may have ended
			}
		}()
	}
	outputs.Wait()
	return nil
}

// feed copies what the caller types. A container that asked for one caller's
// input only is told of its end; a terminal has no end but the user's Ctrl-D.
func (r *containerRun) feed(in io.Reader) {
	_, _ = io.Copy(r.streams.Stdin, in)
	if r.spec.StdinOnce && !r.streams.TTY {
		r.streams.Stdin.Close()
	}
}

// loopbacks are where a forwarded port is looked for, in this order.
var loopbacks = []string{"127.0.0.1", "::1"}

// PortForward joins a stream with a port of a pod's loopback interface.
func (b backend) PortForward(ctx context.Context, _, uid string, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	w, err := b.worker(uid)
	if err != nil {
		return err
	}
	conn, err := dialIn(ctx, w.netNS(), port)
	if err != nil {
		return fmt.Errorf("connect to port %d in the pod: %w", port, err)
	}
	defer conn.Close()
	return join(stream, conn)
}

func dialIn(ctx context.Context, netNS string, port int32) (conn net.Conn, err error) {
	var d net.Dialer
	for _, host := range loopbacks {
		err = sandbox.InNetNS(netNS, func() (err error) {
			conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
			return err
		})
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// join copies both ways until the pod has nothing more to say or the caller has
// gone; the end of the caller's data is passed on.
func join(stream io.ReadWriter, conn net.Conn) error {
	go func() {
		_, _ = io.Copy(conn, stream)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}()
	_, err := io.Copy(stream, conn)
	return err
}
