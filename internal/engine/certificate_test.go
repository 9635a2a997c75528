package engine

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
)

// secureListener puts a TLS listener with a certificate on the load balancer of
// a fixture.
func (r *rig) secureListener(f fixture, certificate string) (string, error) {
	out, err := r.CreateListener(r.t.Context(), &elb.CreateListenerInput{
		LoadBalancerArn: &f.balancer, Protocol: types.ProtocolEnumTls, Port: aws.Int32(443),
		Certificates:   []types.Certificate{{CertificateArn: &certificate}},
		DefaultActions: []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: &f.group}},
	})
	if err != nil {
		return "", err
	}
	return *out.Listeners[0].ListenerArn, nil
}

func TestACertificateInUseStaysUntilItsListenerGoes(t *testing.T) {
	r := newRig(t)
	f := r.fixture("0")
	arn := r.aws("acm", "request-certificate", "--domain-name", "www.example.com", "--validation-method", "DNS", "--key-algorithm", "EC_prime256v1",
		"--query", "CertificateArn")
	r.aws("acm", "wait", "certificate-validated", "--certificate-arn", arn)
	listener, err := r.secureListener(f, arn)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.aws("acm", "describe-certificate", "--certificate-arn", arn, "--query", "Certificate.InUseBy[0]"); got != f.balancer {
		t.Errorf("in use by %q, want %q", got, f.balancer)
	}
	if message := r.awsFails("acm", "delete-certificate", "--certificate-arn", arn); !strings.Contains(message, "ResourceInUseException") {
		t.Errorf("delete in use: %s", message)
	}
	if _, err := r.DeleteListener(t.Context(), &elb.DeleteListenerInput{ListenerArn: &listener}); err != nil {
		t.Fatal(err)
	}
	r.aws("acm", "delete-certificate", "--certificate-arn", arn)
	_, err = r.secureListener(f, arn)
	if _, typed := errors.AsType[*types.CertificateNotFoundException](err); !typed {
		t.Errorf("a listener with a certificate that is gone: %v", err)
	}
}

func TestAnotherDataKeyIsRefused(t *testing.T) {
	r := newRig(t)
	r.aws("acm", "request-certificate", "--domain-name", "www.example.com", "--key-algorithm", "EC_prime256v1")
	r.stop()
	if err := os.Remove(filepath.Join(r.dir, "state", dataKeyFile)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // with the key that Open makes, and with that key found
		_, err := Open(Config{
			Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(r.dir, "state"), Inventory: filepath.Join(r.dir, "inventory.yaml"),
			Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
		})
		if !errors.Is(err, sealed.ErrUnreadable) {
			t.Errorf("Open: %v, want that the key does not fit", err)
		}
	}
}
