package edgeapi

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-lb/fairlead/internal/lb"
)

// nearItsEnd writes an identity whose renewal is due.
func nearItsEnd(t *testing.T, a *Authority) (dir string, cert *x509.Certificate) {
	t.Helper()
	id, err := a.issue(zone, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := id.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir, leafIn(t, dir)
}

func leafIn(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	id, err := ReadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.leaf()
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestAnEdgeRenewsItsIdentityAndComesBackWithIt(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, _ := serve(t, e, a, "127.0.0.1:0")
	dir, before := nearItsEnd(t, a)
	c := client(t, addr, zone, dir)
	c.renewalPause = 0
	edge := run(t, c, zone)
	for range 2 { // with the old identity, then with the new one
		want(t, e.reports, full(report(0)))
	}
	after := leafIn(t, dir)
	if left := time.Until(after.NotAfter); left < EdgeValidity-time.Hour || time.Now().After(renewAt(after)) {
		t.Errorf("the new certificate ends in %v, want about %v", left, EdgeValidity)
	}
	if old, new := before.PublicKey.(*ecdsa.PublicKey), after.PublicKey.(*ecdsa.PublicKey); old.Equal(new) {
		t.Error("the key is the old one")
	}
	e.snapshots <- lb.ZoneSnapshot{Revision: 3}
	want(t, edge.snapshots, lb.ZoneSnapshot{Revision: 3})
	edge.stop()
	for _, event := range []string{"watch ", "cancel ", "disconnected ", "watch ", "cancel ", "disconnected "} {
		want(t, e.events, event+zone)
	}
	if len(e.events) != 0 {
		t.Errorf("a further session: %q", <-e.events)
	}
}

func TestAnIdentityThatCannotBeKeptEndsNoSession(t *testing.T) {
	e, a := newEngine(), authority(t)
	addr, _ := serve(t, e, a, "127.0.0.1:0")
	dir, before := nearItsEnd(t, a)
	if err := os.Mkdir(filepath.Join(dir, nextKeyFile), 0o700); err != nil { // where the next key should go
		t.Fatal(err)
	}
	c := client(t, addr, zone, dir)
	cert, err := a.renew(zone, request(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	r := newRenewal(dir, before, time.Hour)
	defer r.due.Stop()
	if _, err := r.request(); err != nil {
		t.Fatal(err)
	}
	if err := r.accept(renewedIdentity{CA: string(cert.CA), Cert: string(cert.Cert)}); err == nil {
		t.Error("took a certificate for another key")
	}
	if err := r.accept(renewedIdentity{}); err == nil || !strings.Contains(err.Error(), "nobody asked for") {
		t.Errorf("error = %v, want it to say that nobody asked", err)
	}
	c.renewalPause = 0
	edge := run(t, c, zone)
	want(t, e.reports, full(report(0)))
	edge.out.Put(report(1, is(web1, lb.Healthy)))
	want(t, e.reports, report(1, is(web1, lb.Healthy)))
	if !leafIn(t, dir).Equal(before) {
		t.Error("the identity changed")
	}
}

func request(t *testing.T, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestRenewRefuses(t *testing.T) {
	a := authority(t)
	fine := request(t, elliptic.P256())
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(fine)
	forged[len(forged)-1] ^= 1
	for name, csr := range map[string][]byte{
		"nothing": nil, "half a request": fine[:len(fine)/2], "a signature of another key": forged,
		"an RSA key": foreign, "another curve": request(t, elliptic.P384()),
	} {
		if _, err := a.renew(zone, csr); err == nil {
			t.Errorf("%s: an identity was issued", name)
		}
	}
	id, err := a.renew(zone, fine)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := id.leaf()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := zoneOf(cert); got != zone || err != nil {
		t.Errorf("zone = %q, %v; want that of the session", got, err)
	}
}

func TestAnIdentityIsWholeWhereverItsWritingStops(t *testing.T) {
	a := authority(t)
	dir := identity(t, a, zone)
	before := leafIn(t, dir)
	next, err := a.Issue(zone)
	if err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		data []byte
		want string
	}{{caFile, next.CA, "before"}, {nextKeyFile, next.Key, "before"}, {certFile, next.Cert, "after"}}
	for _, step := range steps {
		if err := os.WriteFile(filepath.Join(dir, step.name), step.data, 0o600); err != nil {
			t.Fatal(err)
		}
		got := "after"
		if leafIn(t, dir).Equal(before) {
			got = "before"
		}
		if got != step.want {
			t.Errorf("after %s the identity is the one %s, want the one %s", step.name, got, step.want)
		}
	}
	last, err := a.Issue(zone) // what stopped is finished first, or its key would be lost
	if err != nil {
		t.Fatal(err)
	}
	if err := last.Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, nextKeyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next key is still there: %v", err)
	}
	if id, err := ReadIdentity(dir); err != nil || !bytes.Equal(id.Cert, last.Cert) || !bytes.Equal(id.Key, last.Key) {
		t.Errorf("the identity is not the last one: %v", err)
	}
}

func TestRevokedEdgesLoseTheirSessionUntilTheyHaveANewIdentity(t *testing.T) {
	stateDir := t.TempDir()
	a, err := OpenAuthority(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine()
	addr, stop := serve(t, e, a, "127.0.0.1:0")
	dir, other := identity(t, a, zone), identity(t, a, "us-west-2b")
	run(t, client(t, addr, zone, dir), zone)
	want(t, e.events, "watch "+zone)
	command, err := OpenAuthority(stateDir) // as a command beside the engine does
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Revoke(zone, time.Now()); err != nil {
		t.Fatal(err)
	}
	want(t, e.events, "cancel "+zone)
	want(t, e.events, "disconnected "+zone)
	err = client(t, addr, zone, dir).session(t.Context(), NewOutbox(zone), func(lb.ZoneSnapshot) {})
	if err == nil || !strings.Contains(err.Error(), "was revoked") || !strings.Contains(err.Error(), "issue-edge") {
		t.Errorf("error = %v, want it to say that the identity was revoked and what to do", err)
	}
	run(t, client(t, addr, "us-west-2b", other), "us-west-2b") // of another zone
	want(t, e.events, "watch us-west-2b")

	id, err := command.Issue(zone)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Write(dir); err != nil { // the running edge reads it when it tries again
		t.Fatal(err)
	}
	want(t, e.events, "watch "+zone)

	stop()
	again, err := OpenAuthority(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.revoked.check(leafIn(t, other), zone); !errors.Is(err, errRevoked) {
		t.Errorf("an identity from before the revocation: %v after a restart, want it revoked", err)
	}
	if _, err := again.revoked.check(leafIn(t, dir), zone); err != nil {
		t.Errorf("an identity from after the revocation: %v", err)
	}
}

func TestRevokeRefusesWhatIsNoZoneName(t *testing.T) {
	for _, zone := range []string{"", "../edge-ca.pem", "zone a"} {
		if err := authority(t).Revoke(zone, time.Now()); err == nil {
			t.Errorf("revoked zone %q", zone)
		}
	}
}

func TestADamagedListOfRevokedEdgesIsAnError(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenAuthority(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, revokedDir, zone)
	if err := os.WriteFile(path, []byte("yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error = %v, want one that names %s", err, path)
	}
}

func TestASessionEndsWithItsCertificate(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := openRevocations(dir)
		if err != nil {
			t.Fatal(err)
		}
		cert := certificate("edge", time.Hour)
		ctx, stop := r.while(t.Context(), cert, zone)
		defer stop()
		begun := time.Now()
		<-ctx.Done()
		if took := time.Since(begun); took != time.Hour || !errors.Is(context.Cause(ctx), errExpired) {
			t.Errorf("ended after %v: %v; want an hour and %v", took, context.Cause(ctx), errExpired)
		}
	})
}
