package edge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// secret is a snapshot with a private key, which need not be one for this.
func secret() lb.ZoneSnapshot {
	s := snapshot(7)
	s.Certificates = []lb.Certificate{{ARN: "www", Chain: "chain", PrivateKey: []byte("the private key")}}
	return s
}

func readable(data []byte) bool {
	key := secret().Certificates[0].PrivateKey
	return bytes.Contains(data, key) || bytes.Contains(data, []byte(base64.StdEncoding.EncodeToString(key)))
}

func TestPrivateKeysAreSealedOnDisk(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	open := func(key string) *Disk {
		t.Helper()
		d, err := OpenDisk(dir, zone, sealWith(key), log)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open("one")
	if err := d.saveSnapshot(secret()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	data, err := os.ReadFile(filepath.Join(dir, snapshotFile))
	if err != nil || readable(data) {
		t.Errorf("the snapshot on disk shows the private key (%v)", err)
	}
	d = open("one")
	if diff := cmp.Diff(secret().Certificates, d.restored.snapshot.Certificates); diff != "" {
		t.Errorf("certificates after a restart (-want +got):\n%s", diff)
	}
	d.Close()
	d = open("another")
	defer d.Close()
	if got := d.restored; !got.known || len(got.snapshot.Certificates) != 0 {
		t.Errorf("with another identity there is a snapshot: %t, with %d certificates; want one without", got.known, len(got.snapshot.Certificates))
	}
}

func TestTheIdentityMakesTheSealingKey(t *testing.T) {
	authority, err := edgeapi.OpenAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var sealed [2][]byte
	for i := range sealed {
		dir := t.TempDir()
		id, err := authority.Issue(zone)
		if err != nil {
			t.Fatal(err)
		}
		if err := id.Write(dir); err != nil {
			t.Fatal(err)
		}
		seal := SealWithIdentity(dir)
		box, err := seal()
		if err != nil {
			t.Fatal(err)
		}
		sealed[i] = box.Seal([]byte("secret"), "name")
		again, err := seal()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Open(sealed[i], "name"); err != nil || string(got) != "secret" {
			t.Errorf("the same identity opens %q, %v", got, err)
		}
		if i == 1 {
			if _, err := again.Open(sealed[0], "name"); err == nil {
				t.Error("one identity opens what another sealed")
			}
		}
	}
}

func TestStateShowsNoPrivateKey(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		edge, _ := start(t, dir, Config{Link: edgeapi.NewLocal(e, zone), DataPath: &tables{}, Prober: &answers{}})
		e.snapshots <- secret()
		synctest.Wait()
		data, err := json.Marshal(edge.State())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(`"www"`)) || readable(data) {
			t.Errorf("the state is %s; want the certificate without its key", data)
		}
	})
}
