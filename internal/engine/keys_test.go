package engine

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	classic "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// request has a certificate issued and returns its ARN.
func (r *rig) request(domain string) string {
	r.t.Helper()
	return r.aws("acm", "request-certificate", "--domain-name", domain, "--key-algorithm", "EC_prime256v1", "--query", "CertificateArn")
}

// pair is a certificate of a snapshot as a server uses it.
func pair(t *testing.T, c lb.Certificate) tls.Certificate {
	t.Helper()
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: c.PrivateKey})
	pair, err := tls.X509KeyPair([]byte(c.Chain), key)
	if err != nil {
		t.Fatalf("certificate %s of a snapshot: %v", c.ARN, err)
	}
	return pair
}

func TestKeysReachTheEdgesThatServeThemAlone(t *testing.T) {
	r := newRig(t)
	f := r.fixture("0")
	r.request("unused.example.com")
	network, alone := r.request("www.example.com"), r.request("classic.example.com")
	if _, err := r.secureListener(f, network); err != nil {
		t.Fatal(err)
	}
	if _, err := r.classic().CreateLoadBalancer(t.Context(), &classic.CreateLoadBalancerInput{
		LoadBalancerName: aws.String("web"), Subnets: []string{"subnet-b"},
		Listeners: []types.Listener{{Protocol: aws.String("SSL"), LoadBalancerPort: 443, InstancePort: aws.Int32(30080), SSLCertificateId: &alone}},
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"us-west-2a": {"www.example.com"}, "us-west-2b": {"www.example.com", "classic.example.com"}}
	for zone, names := range want {
		snapshots, cancel, err := r.engine.Source().Watch(zone)
		if err != nil {
			t.Fatal(err)
		}
		defer cancel()
		served := map[string]bool{}
		var s lb.ZoneSnapshot
		for len(served) < len(names) {
			s, served = <-snapshots, map[string]bool{}
			for _, c := range s.Certificates {
				served[pair(t, c).Leaf.Subject.CommonName] = true
			}
		}
		for _, name := range names {
			if !served[name] || len(served) != len(names) {
				t.Errorf("zone %s gets the keys of %v, want those of %v", zone, served, names)
			}
		}
		if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, fmt.Sprintf("%v", []byte(s.Certificates[0].PrivateKey)[:8])) {
			t.Error("a printed snapshot shows a private key")
		}
	}
}

func TestARenewedCertificateReachesTheEdges(t *testing.T) {
	r := newRig(t)
	f := r.fixture("0")
	arn := r.request("www.example.com")
	if _, err := r.secureListener(f, arn); err != nil {
		t.Fatal(err)
	}
	snapshots, cancel, err := r.engine.Source().Watch("us-west-2a")
	if err != nil {
		t.Fatal(err)
	}
	defer cancel()
	s := <-snapshots
	for len(s.Certificates) == 0 {
		s = <-snapshots
	}
	before := pair(t, s.Certificates[0]).Leaf
	service := r.engine.certificates(r.engine.db)
	service.Now = func() time.Time { return time.Now().AddDate(1, 0, 0) } // the certificate is nearly over
	if err := service.Renew(); err != nil {
		t.Fatal(err)
	}
	after := <-snapshots
	if got := pair(t, after.Certificates[0]).Leaf; got.SerialNumber.Cmp(before.SerialNumber) == 0 {
		t.Error("the edge still has the certificate from before the renewal")
	}
}
