package clusterdns

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestAnswersAreRememberedForTheirTTL(t *testing.T) {
	question := dns.Question{Name: balancer, Qtype: dns.TypeA, Qclass: dns.ClassINET}
	now := time.Unix(1_000_000, 0)
	var m memory
	m.keep(question, []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: balancer, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: netip.MustParseAddr("198.18.16.200").AsSlice()}}, now)
	other := question
	other.Qtype = dns.TypeAAAA
	for name, test := range map[string]struct {
		question dns.Question
		after    time.Duration
		want     []string
		ttl      uint32
	}{
		"at once":                     {question, 0, []string{"198.18.16.200"}, 60},
		"just before the TTL is over": {question, 59 * time.Second, []string{"198.18.16.200"}, 1},
		"another type":                {other, 0, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.recall(test.question, now.Add(test.after))
			if diff := cmp.Diff(test.want, data(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got) > 0 && got[0].Header().Ttl != test.ttl {
				t.Errorf("got TTL %d, want %d", got[0].Header().Ttl, test.ttl)
			}
		})
	}
	if got := m.recall(question, now.Add(time.Minute)); got != nil {
		t.Errorf("got %v after the TTL", got)
	}
}

func TestNamesOutliveTheirLoadBalancersByTheirTTL(t *testing.T) {
	exists := true
	h := handler(t, serve(t, dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := new(dns.Msg).SetReply(r)
		if exists {
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: balancer, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: netip.MustParseAddr("198.18.16.200").AsSlice()}}
		} else {
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})))
	h.Reply(new(dns.Msg).SetQuestion(balancer, dns.TypeA))
	exists = false
	got := h.Reply(new(dns.Msg).SetQuestion(balancer, dns.TypeA))
	if diff := cmp.Diff([]string{"198.18.16.200"}, data(got.Answer)); diff != "" || got.Rcode != dns.RcodeSuccess {
		t.Errorf("got %s; records (-want +got):\n%s", dns.RcodeToString[got.Rcode], diff)
	}
}
