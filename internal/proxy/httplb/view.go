package httplb

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/proxy"
	"github.com/fairlead-lb/fairlead/internal/proxy/accesslog"
	"github.com/fairlead-lb/fairlead/internal/proxy/http1"
)

// view is a listener's configuration with what requests need of it at hand.
type view struct {
	*proxy.Listener
	counters *counters
	host     string // for requests that name none
	port     string
	cookie   *proxy.Cookie     // nil: no stickiness
	value    map[string]string // of the AWSELB cookie, by target ID
	target   map[string]string // the reverse

	destination accesslog.Destination
	logs        bool // to destination
}

func newView(l *proxy.Listener) *view {
	v := &view{Listener: l, port: strconv.Itoa(int(l.Address.Port())), host: l.Address.String()}
	if l.Address.Port() == 80 || l.Address.Port() == 443 {
		v.host = strings.TrimSuffix(net.JoinHostPort(l.Address.Addr().String(), ""), ":")
	}
	for i := range l.Forward {
		if l.Forward[i].Cookie != nil {
			v.cookie = l.Forward[i].Cookie
		}
	}
	v.destination, v.logs = l.LogDestination()
	if v.cookie == nil {
		return v
	}
	v.value, v.target = map[string]string{}, map[string]string{}
	for i := range l.Forward {
		for _, t := range l.Forward[i].Targets {
			c := cookieValue(l.Balancer, t.ID)
			v.value[t.ID], v.target[c] = c, t.ID
		}
	}
	return v
}

// cookieValue names a target in a cookie: the same on every edge and after every
// restart, and without telling what the target is.
func cookieValue(balancer, id string) string {
	sum := sha256.Sum256([]byte(balancer + "\x00" + id))
	return strings.ToUpper(hex.EncodeToString(sum[:20]))
}

// blocked says that the desync mitigation mode does not let a request through
// (user guide for Classic Load Balancers, desync mitigation mode).
func (v *view) blocked(t http1.Tier) bool { return t > http1.Compliant && v.DesyncMode == "strictest" }

// isolated says that the request's connections are not used again.
func (v *view) isolated(t http1.Tier) bool { return t == http1.Ambiguous && v.DesyncMode != "monitor" }
