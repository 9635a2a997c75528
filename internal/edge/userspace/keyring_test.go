package userspace_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/edge/userspace"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

func certificate(t *testing.T, arn string) lb.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return lb.Certificate{ARN: arn, Chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), PrivateKey: secret}
}

func TestKeyringFollowsTheSnapshot(t *testing.T) {
	ring := userspace.Keyring{}
	a, b := certificate(t, "a"), certificate(t, "b")
	first, err := ring.Replace([]lb.Certificate{a, b})
	if err != nil || len(first) != 2 {
		t.Fatalf("%d certificates, %v; want 2", len(first), err)
	}
	renewed, swapped := certificate(t, "a"), b
	swapped.PrivateKey = a.PrivateKey
	second, err := ring.Replace([]lb.Certificate{renewed, swapped})
	if err == nil || !strings.Contains(err.Error(), "certificate b: ") {
		t.Errorf("a key of another certificate: %v", err)
	}
	if len(second) != 1 || second["a"].Leaf.Equal(first["a"].Leaf) {
		t.Errorf("after a renewal there are %d certificates, the first one renewed: %t", len(second), !second["a"].Leaf.Equal(first["a"].Leaf))
	}
	third, err := ring.Replace([]lb.Certificate{renewed})
	if err != nil || third["a"].Leaf != second["a"].Leaf {
		t.Errorf("what did not change was parsed again: %v", err)
	}
}
