package clusterdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Run answers queries until ctx ends. It listens once it knows all Services, so
// that whoever can connect gets full answers.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	rc, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return fmt.Errorf("read kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := publish(ctx, client, cfg); err != nil {
		return fmt.Errorf("publish the Service kube-system/kube-dns: %w", err)
	}
	source, stopWatching, err := watch(ctx, client)
	if err != nil {
		return err
	}
	stop, err := listen(cfg.Listen, NewHandler(cfg, source), cancel)
	if err != nil {
		return err
	}
	cfg.Logger.Info("cluster DNS serves", "listen", cfg.Listen, "domain", cfg.Domain)
	<-ctx.Done()
	stop()
	cancel(nil)
	stopWatching()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen serves every address over UDP and TCP. failed is called if a server
// ends by itself.
func listen(addrs []netip.AddrPort, h dns.Handler, failed func(error)) (stop func(), err error) {
	var servers []*dns.Server
	var running sync.WaitGroup
	stop = func() {
		for _, s := range servers {
			_ = s.Shutdown() // fails only when it has ended
		}
		running.Wait()
	}
	for _, a := range addrs {
		s, err := bindBoth(a, h)
		if err != nil {
			stop()
			return nil, fmt.Errorf("listen on %s: %w", a, err)
		}
		for _, s := range s {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			running.Go(func() {
				if err := s.ActivateAndServe(); err != nil {
					failed(fmt.Errorf("serve DNS on %s: %w", a, err))
				}
			})
			<-started // Shutdown does nothing before
			servers = append(servers, s)
		}
	}
	return stop, nil
}

// Bounds of one TCP connection.
const (
	tcpTimeout = 10 * time.Second
	tcpQueries = 128
)

func bindBoth(a netip.AddrPort, h dns.Handler) ([]*dns.Server, error) {
	udp, err := net.ListenPacket("udp", a.String())
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", a.String())
	if err != nil {
		udp.Close()
		return nil, err
	}
	return []*dns.Server{
		{PacketConn: udp, Handler: h, UDPSize: dns.DefaultMsgSize},
		{Listener: tcp, Handler: h, ReadTimeout: tcpTimeout, WriteTimeout: tcpTimeout, MaxTCPQueries: tcpQueries},
	}, nil
}

// Handler answers queries: from the zone, from the engine, or that there is no
// such name.
type Handler struct {
	zone     Zone
	upstream upstream
	memory   memory
	log      *slog.Logger
}

// NewHandler returns the handler of a cluster's DNS.
func NewHandler(cfg Config, source Source) *Handler {
	return &Handler{
		zone:     Zone{Domain: strings.Trim(cfg.Domain, "."), Source: source},
		upstream: newUpstream(cfg.Engine, cfg.Region),
		log:      cfg.Logger,
	}
}

// ServeDNS answers one query.
func (h *Handler) ServeDNS(w dns.ResponseWriter, r *dns.Msg) {
	reply := h.Reply(r)
	size := dns.MaxMsgSize
	if _, isUDP := w.RemoteAddr().(*net.UDPAddr); isUDP {
		size = dns.MinMsgSize
		if opt := r.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
	}
	reply.Truncate(size)
	if err := w.WriteMsg(reply); err != nil {
		h.log.Debug("answer not sent", "error", err)
	}
}

// Reply computes the answer to a query.
func (h *Handler) Reply(r *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(r)
	m.RecursionAvailable = true
	if opt := r.IsEdns0(); opt != nil {
		m.SetEdns0(dns.DefaultMsgSize, false)
	}
	switch {
	case r.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
	case len(r.Question) != 1:
		m.Rcode = dns.RcodeFormatError
	case r.Question[0].Qclass != dns.ClassINET:
		m.Rcode = dns.RcodeRefused
	default:
		h.fill(m, r.Question[0])
	}
	return m
}

// maxAliases bounds a chain of aliases within the zone.
const maxAliases = 8

// fill answers a question and follows aliases as far as the lab knows names.
func (h *Handler) fill(m *dns.Msg, q dns.Question) {
	for range maxAliases {
		switch {
		case h.zone.Holds(q.Name):
			m.Authoritative = true
			a := h.zone.Answer(q)
			m.Answer = append(m.Answer, a.Records...)
			if a.Alias != "" {
				q.Name = a.Alias
				continue
			}
			if len(a.Records) == 0 {
				m.Ns = []dns.RR{h.zone.soa()}
			}
			if !a.Exists {
				m.Rcode = dns.RcodeNameError
			}
		case h.upstream.knows(q.Name):
			h.forward(m, q)
		case len(m.Answer) == 0:
			m.Rcode = dns.RcodeNameError
		}
		return
	}
	m.Rcode = dns.RcodeServerFailure
}

func (h *Handler) forward(m *dns.Msg, q dns.Question) {
	got, err := h.upstream.ask(q)
	if err != nil {
		h.log.Warn("the engine's DNS does not answer", "name", q.Name, "error", err)
		m.Rcode = dns.RcodeServerFailure
		return
	}
	if got.Rcode == dns.RcodeNameError {
		if late := h.memory.recall(q, time.Now()); late != nil {
			m.Answer = append(m.Answer, late...)
			return
		}
	}
	h.memory.keep(q, got.Answer, time.Now())
	m.Rcode = got.Rcode
	m.Answer = append(m.Answer, got.Answer...)
	m.Ns = got.Ns
}
