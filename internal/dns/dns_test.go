package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names is a Resolver; it keeps what it was asked.
type names map[string][]netip.Addr

func (n names) Lookup(name string) ([]netip.Addr, time.Duration, bool) {
	addrs, found := n[name]
	return addrs, time.Minute, found
}

const (
	zone   = "elb.us-west-2.amazonaws.com"
	web    = "web-0123456789abcdef." + zone
	v4only = "v4only-0123456789abcdef." + zone
	empty  = "empty-0123456789abcdef." + zone
	wide   = "wide-0123456789abcdef." + zone
)

func newServer(t *testing.T) *Server {
	t.Helper()
	known := names{
		web:    {netip.MustParseAddr("198.18.16.200"), netip.MustParseAddr("198.18.32.200"), netip.MustParseAddr("2001:db8:0:1::200")},
		v4only: {netip.MustParseAddr("198.18.16.201")},
		empty:  nil,
	}
	for i := range 60 {
		known[wide] = append(known[wide], netip.AddrFrom4([4]byte{198, 18, 16, byte(i)}))
	}
	s, err := NewServer(Config{Zones: []string{zone}, Resolver: known, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func question(name string, qtype uint16) *dns.Msg {
	return new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
}

// brief renders an answer: code, sorted data of answers, SOA when there is one.
func brief(m *dns.Msg) string {
	var data []string
	for _, rr := range m.Answer {
		data = append(data, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(data)
	s := dns.RcodeToString[m.Rcode] + " " + strings.Join(data, " ")
	for _, rr := range m.Ns {
		s += fmt.Sprintf("+%s %d", dns.TypeToString[rr.Header().Rrtype], rr.Header().Ttl)
	}
	return strings.TrimSpace(s)
}

func TestAnswer(t *testing.T) {
	chaos := question(web, dns.TypeA)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	version := question(web, dns.TypeA)
	version.SetEdns0(4096, false).IsEdns0().SetVersion(1)
	cases := map[string]struct {
		query *dns.Msg
		want  string
	}{
		"all IPv4 addresses":               {question(web, dns.TypeA), "NOERROR 198.18.16.200 198.18.32.200"},
		"all IPv6 addresses":               {question(web, dns.TypeAAAA), "NOERROR 2001:db8:0:1::200"},
		"both for ANY":                     {question(web, dns.TypeANY), "NOERROR 198.18.16.200 198.18.32.200 2001:db8:0:1::200"},
		"letters in any case":              {question(strings.ToUpper(web), dns.TypeA), "NOERROR 198.18.16.200 198.18.32.200"},
		"no address of the family":         {question(v4only, dns.TypeAAAA), "NOERROR +SOA 5"},
		"no address at all":                {question(empty, dns.TypeA), "NOERROR +SOA 5"},
		"another type":                     {question(web, dns.TypeTXT), "NOERROR +SOA 5"},
		"no such name":                     {question("other."+zone, dns.TypeA), "NXDOMAIN +SOA 5"},
		"the zone itself has no address":   {question(zone, dns.TypeA), "NOERROR +SOA 5"},
		"the zone's SOA":                   {question(zone, dns.TypeSOA), "NOERROR ns." + zone + ". hostmaster." + zone + ". 1 3600 600 86400 5"},
		"a name outside":                   {question("www.example.com", dns.TypeA), "REFUSED"},
		"a name that only ends like ours":  {question("x"+zone, dns.TypeA), "REFUSED"},
		"the root":                         {question(".", dns.TypeNS), "REFUSED"},
		"another class":                    {chaos, "REFUSED"},
		"a version of EDNS we do not know": {version, "BADSIG"}, // the library's name of code 16, which is BADVERS here
		"no question":                      {new(dns.Msg), "FORMERR"},
	}
	s := newServer(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := s.Answer(c.query)
			if diff := cmp.Diff(c.want, brief(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if ours := got.Rcode == dns.RcodeSuccess || got.Rcode == dns.RcodeNameError; got.Authoritative != ours {
				t.Errorf("authoritative = %v", got.Authoritative)
			}
			if got.RecursionAvailable {
				t.Error("claims to recurse")
			}
		})
	}
}

func TestAnswerKeepsTheAskersSpelling(t *testing.T) {
	spelled := "WeB-0123456789abcdef." + zone + "."
	got := newServer(t).Answer(question(spelled, dns.TypeA))
	if got.Question[0].Name != spelled || got.Answer[0].Header().Name != spelled {
		t.Errorf("question %q, answer %q, want %q twice", got.Question[0].Name, got.Answer[0].Header().Name, spelled)
	}
	if ttl := got.Answer[0].Header().Ttl; ttl != 60 {
		t.Errorf("TTL = %d, want 60", ttl)
	}
}

func TestEveryAddressComesFirstAtTimes(t *testing.T) {
	s, first := newServer(t), map[string]bool{}
	for range 200 { // both fail to come first once in 2^200 runs
		first[s.Answer(question(web, dns.TypeA)).Answer[0].(*dns.A).A.String()] = true
	}
	if len(first) != 2 {
		t.Errorf("first in 200 answers: %v, want both addresses", first)
	}
}

func TestServerAnswersOverUDPAndTCP(t *testing.T) {
	pc, ln, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- newServer(t).Serve(ctx, pc, ln) }()
	ask := func(network string, query *dns.Msg) *dns.Msg {
		t.Helper()
		client := dns.Client{Net: network, Timeout: 10 * time.Second}
		got, _, err := client.Exchange(query, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, network := range []string{"udp", "tcp"} {
		if got := brief(ask(network, question(v4only, dns.TypeA))); got != "NOERROR 198.18.16.201" {
			t.Errorf("%s: %s", network, got)
		}
	}
	plain := ask("udp", question(wide, dns.TypeA))
	plain.Compress = true
	if !plain.Truncated || plain.Len() > 512 {
		t.Errorf("60 addresses over UDP: truncated %v, %d bytes; want truncated to 512", plain.Truncated, plain.Len())
	}
	edns := ask("udp", question(wide, dns.TypeA).SetEdns0(4096, false))
	if edns.Truncated || len(edns.Answer) != 60 || edns.IsEdns0() == nil {
		t.Errorf("60 addresses with EDNS: truncated %v, %d answers, OPT %v", edns.Truncated, len(edns.Answer), edns.IsEdns0())
	}
	if whole := ask("tcp", question(wide, dns.TypeA)); whole.Truncated || len(whole.Answer) != 60 {
		t.Errorf("60 addresses over TCP: truncated %v, %d answers", whole.Truncated, len(whole.Answer))
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

func TestNewServerRefusesWhatIsNoZone(t *testing.T) {
	for _, zone := range []string{"", "a..b", strings.Repeat("a", 64) + ".example"} {
		if _, err := NewServer(Config{Zones: []string{zone}}); err == nil {
			t.Errorf("NewServer takes the zone %q", zone)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	for _, m := range []*dns.Msg{question(web, dns.TypeA), question(zone, dns.TypeSOA), question(".", dns.TypeANY).SetEdns0(1, true)} {
		wire, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	s, err := NewServer(Config{Zones: []string{zone}, Resolver: names{web: {netip.MustParseAddr("198.18.16.200")}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var query dns.Msg
		if query.Unpack(wire) != nil {
			return
		}
		answer := s.Answer(&query)
		answer.Truncate(udpSize(&query))
		if _, err := answer.Pack(); err != nil {
			t.Errorf("the answer to %v cannot be sent: %v", &query, err)
		}
	})
}
