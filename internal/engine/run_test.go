package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/netlab/netlabtest"
)

func TestRunServesEverySocketAndStopsWhenTold(t *testing.T) {
	dir := t.TempDir()
	inventory := filepath.Join(dir, "inventory.yaml")
	if err := os.WriteFile(inventory, []byte(testInventory), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	e, err := Open(Config{
		Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(dir, "state"), Inventory: inventory,
		Quotas: elbv2.DefaultQuotas(), Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	address := func() string { return netlabtest.Address(t).String() }
	l := Listeners{API: address(), Edges: address(), DNS: address(), Metrics: address()}
	host, _, _ := net.SplitHostPort(l.API)
	l.TLS, err = GeneratedTLS(e.StateDir, []string{host})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, l, registry) }()

	plain := &http.Client{Transport: &http.Transport{}}
	awaitOK(t, plain, "http://"+l.Metrics+"/readyz")
	if body := get(t, plain, "http://"+l.Metrics+"/metrics"); !strings.Contains(body, "fairlead_state_revision 0") {
		t.Errorf("metrics lack the revision:\n%s", body)
	}
	if body := get(t, plain, "http://"+l.Metrics+"/state"); !strings.Contains(body, `"i-a"`) || !strings.Contains(body, `"edges": []`) {
		t.Errorf("the state lacks the inventory's instance, or has edges that are not there:\n%s", body)
	}
	secure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: poolOf(t, filepath.Join(e.StateDir, certificateFile))}}}
	if body := get(t, secure, "https://"+l.API+"/"); body == "" {
		t.Error("the API answers nothing over TLS")
	}
	answer, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("absent.elb.us-west-2.amazonaws.com.", dns.TypeA), l.DNS)
	if err != nil || answer.Rcode != dns.RcodeNameError {
		t.Errorf("DNS: %v, %v; want that the name does not exist", answer, err)
	}
	if err := e.Run(ctx, l, registry); err == nil || !strings.Contains(err.Error(), "listen for the API") {
		t.Errorf("a second engine on the same addresses: %v", err)
	}
	plain.CloseIdleConnections()
	secure.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if e.Ready() == nil {
		t.Error("a closed engine is ready")
	}
}

func awaitOK(t *testing.T, c *http.Client, url string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if response, err := c.Get(url); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", url)
		}
	}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func poolOf(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatalf("%s holds no certificate", path)
	}
	return pool
}

func TestTheGeneratedCertificateIsKeptWhileItFits(t *testing.T) {
	dir := t.TempDir()
	serial := func(hosts ...string) string {
		t.Helper()
		if _, err := GeneratedTLS(dir, hosts); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(dir, certificateFile))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(data)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert.SerialNumber.String()
	}
	first := serial("localhost", "127.0.0.1")
	if again := serial("localhost"); again != first {
		t.Error("a certificate that fits was made anew")
	}
	if other := serial("localhost", "engine.example"); other == first {
		t.Error("a certificate without a host was kept")
	}
	info, err := os.Stat(filepath.Join(dir, certificateKeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v; want 0600", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, certificateFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := GeneratedTLS(dir, []string{"localhost"}); err == nil {
		t.Error("a file that is no certificate was overwritten or served")
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct{ inventory, iam, want string }{
		"no inventory":       {"", "", "read the inventory"},
		"a bad inventory":    {"vpcs: [{vpcId: x}]", "", "does not begin with vpc-"},
		"a bad IAM file":     {testInventory, "users: 1", "iam.yaml"},
		"an absent IAM file": {testInventory, "-", "iam.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := Config{Region: "us-west-2", AccountID: "000000000000", StateDir: filepath.Join(dir, "state"), Inventory: filepath.Join(dir, "inventory.yaml"),
				Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()}
			for path, content := range map[string]string{"inventory.yaml": test.inventory, "iam.yaml": test.iam} {
				if content == "" {
					continue
				}
				if path == "iam.yaml" {
					c.IAM = filepath.Join(dir, path)
				}
				if content == "-" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Open(c)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want …%s…", err, test.want)
			}
		})
	}
}
