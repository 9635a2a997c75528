// Package dns answers for load balancer names.
//
// It is an authoritative server for a few zones and nothing else: it forwards
// nothing, transfers nothing and refuses what lies outside its zones. Names are
// looked up when asked, so an answer is never older than the engine's state;
// TTLs are the resolver's.
//
// Invariants: answers depend on the question and the Resolver alone; connections
// and message sizes are bounded; a question costs one Lookup at most.
package dns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// Resolver knows the names. Lookup gets a name in lower case without the final
// dot and is called from many goroutines at once. A name that is found may have
// no addresses.
type Resolver interface {
	Lookup(name string) (addrs []netip.Addr, ttl time.Duration, found bool)
}

// Config says what a server answers for.
type Config struct {
	Zones    []string // such as elb.us-west-2.amazonaws.com; with or without the final dot
	Resolver Resolver
	Log      *slog.Logger
}

const (
	// negativeTTL is how long others may remember that a name or an address
	// family does not exist. It is short, because people ask for a load balancer
	// before it is there.
	negativeTTL = 5 * time.Second

	// maxUDP is the largest answer over UDP: what passes every path without
	// fragments (DNS Flag Day 2020).
	maxUDP = 1232

	maxConnections = 256
	ioTimeout      = 5 * time.Second
	idleTimeout    = 10 * time.Second
)

// Server answers questions.
type Server struct {
	zones    []string // canonical: lower case, final dot
	resolver Resolver
	log      *slog.Logger
}

// NewServer returns a server for cfg.
func NewServer(cfg Config) (*Server, error) {
	s := &Server{resolver: cfg.Resolver, log: cfg.Log}
	for _, zone := range cfg.Zones {
		if _, ok := dns.IsDomainName(zone); !ok || zone == "" {
			return nil, fmt.Errorf("zone %q is no domain name", zone)
		}
		s.zones = append(s.zones, dns.CanonicalName(zone))
	}
	return s, nil
}

// Listen opens the UDP and the TCP socket of an address such as 127.0.0.1:53.
// With port 0 both get the same one.
func Listen(address string) (net.PacketConn, net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for DNS: %w", err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for DNS: %w", err), ln.Close())
	}
	return pc, ln, nil
}

// Serve answers on both sockets until ctx ends, returns nil then, and closes them.
func (s *Server) Serve(ctx context.Context, pc net.PacketConn, ln net.Listener) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, server := range []*dns.Server{
		{PacketConn: pc, Handler: s, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout},
		{Listener: netutil.LimitListener(ln, maxConnections), Handler: s, ReadTimeout: ioTimeout, WriteTimeout: ioTimeout,
			IdleTimeout: func() time.Duration { return idleTimeout }},
	} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		group.Go(func() error {
			defer close(done)
			if err := server.ActivateAndServe(); err != nil && ctx.Err() == nil {
				return fmt.Errorf("serve DNS: %w", err)
			}
			return nil
		})
		group.Go(func() error { return stopAfter(ctx, server, started, done) })
	}
	return group.Wait()
}

// stopAfter stops a server when ctx ends. A server that has not started yet
// cannot be stopped, so it waits for that first.
func stopAfter(ctx context.Context, server *dns.Server, started, done <-chan struct{}) error {
	select {
	case <-started:
	case <-done:
		return nil
	}
	select {
	case <-ctx.Done():
	case <-done:
		return nil
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
	defer cancel()
	return server.ShutdownContext(limit)
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	answer := s.Answer(query)
	size := dns.MaxMsgSize
	if w.LocalAddr().Network() == "udp" {
		size = udpSize(query)
	}
	answer.Truncate(size)
	if err := w.WriteMsg(answer); err != nil {
		s.log.Debug("answer not sent", "peer", w.RemoteAddr().String(), "error", err)
	}
}

// udpSize is the largest answer that both ends take over UDP.
func udpSize(query *dns.Msg) int {
	opt := query.IsEdns0()
	if opt == nil {
		return dns.MinMsgSize
	}
	return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
}

// Answer returns the response to a query with one question.
func (s *Server) Answer(query *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(query)
	answer.Compress = true
	if opt := query.IsEdns0(); opt != nil {
		answer.SetEdns0(maxUDP, false)
		if opt.Version() != 0 {
			answer.Rcode = dns.RcodeBadVers
			return answer
		}
	}
	if len(query.Question) != 1 {
		answer.Rcode = dns.RcodeFormatError
		return answer
	}
	question := query.Question[0]
	zone, ok := s.zoneOf(question.Name)
	if !ok || question.Qclass != dns.ClassINET {
		answer.Rcode = dns.RcodeRefused
		return answer
	}
	answer.Authoritative = true
	s.answerIn(zone, question, answer)
	return answer
}

// zoneOf returns the longest of our zones that holds the name.
func (s *Server) zoneOf(name string) (string, bool) {
	longest := ""
	for _, zone := range s.zones {
		if dns.IsSubDomain(zone, name) && len(zone) > len(longest) {
			longest = zone
		}
	}
	return longest, longest != ""
}

func (s *Server) answerIn(zone string, question dns.Question, answer *dns.Msg) {
	name := dns.CanonicalName(question.Name)
	if name == zone {
		if question.Qtype == dns.TypeSOA {
			answer.Answer = []dns.RR{soa(zone)}
		} else {
			answer.Ns = []dns.RR{soa(zone)}
		}
		return
	}
	addrs, ttl, found := s.resolver.Lookup(strings.TrimSuffix(name, "."))
	if !found {
		answer.Rcode = dns.RcodeNameError
	}
	answer.Answer = records(question, addrs, ttl)
	if len(answer.Answer) == 0 {
		answer.Ns = []dns.RR{soa(zone)}
	}
}

// records returns the addresses of the family that was asked for, beginning
// with any of them, so that clients which take the first spread over all.
// ANY gets both families (RFC 8482 lets a server choose).
func records(question dns.Question, addrs []netip.Addr, ttl time.Duration) []dns.RR {
	var all []dns.RR
	for _, addr := range addrs {
		header := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: seconds(ttl)}
		switch addr = addr.Unmap(); {
		case addr.Is4() && (question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY):
			header.Rrtype = dns.TypeA
			all = append(all, &dns.A{Hdr: header, A: addr.AsSlice()})
		case addr.Is6() && (question.Qtype == dns.TypeAAAA || question.Qtype == dns.TypeANY):
			header.Rrtype = dns.TypeAAAA
			all = append(all, &dns.AAAA{Hdr: header, AAAA: addr.AsSlice()})
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// soa is the record that says how long a negative answer holds (RFC 2308).
func soa(zone string) *dns.SOA {
	return &dns.SOA{
		Hdr:     dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: seconds(negativeTTL)},
		Ns:      "ns." + zone,
		Mbox:    "hostmaster." + zone,
		Serial:  1, // nothing is ever transferred
		Refresh: 3600,
		Retry:   600,
		Expire:  86400,
		Minttl:  seconds(negativeTTL),
	}
}

func seconds(d time.Duration) uint32 { return uint32(max(d, 0) / time.Second) }
