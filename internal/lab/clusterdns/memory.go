package clusterdns

import (
	"sync"
	"time"

	"github.com/miekg/dns"
)

// maxRemembered bounds the answers that are remembered.
const maxRemembered = 4096

// memory keeps the engine's answers until their TTL is over, for names that do
// not exist any more by then: whoever sits behind a resolver goes on using them
// that long. A name that exists is asked for anew each time, because in a lab
// people watch what changes.
type memory struct {
	mu      sync.Mutex
	answers map[dns.Question]remembered
}

type remembered struct {
	records []dns.RR
	until   time.Time
}

func (m *memory) keep(q dns.Question, records []dns.RR, now time.Time) {
	if len(records) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == nil || len(m.answers) >= maxRemembered {
		m.answers = map[dns.Question]remembered{}
	}
	m.answers[q] = remembered{records, now.Add(time.Duration(records[0].Header().Ttl) * time.Second)}
}

// recall is what was answered before, with what is left of its TTL, or nothing.
func (m *memory) recall(q dns.Question, now time.Time) []dns.RR {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.answers[q]
	if !now.Before(r.until) {
		delete(m.answers, q)
		return nil
	}
	var out []dns.RR
	for _, rr := range r.records {
		rr = dns.Copy(rr)
		rr.Header().Ttl = uint32(r.until.Sub(now) / time.Second)
		out = append(out, rr)
	}
	return out
}
