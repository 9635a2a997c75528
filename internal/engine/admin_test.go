package engine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/engine/admin"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/state/statetest"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
)

func TestABackupWhileWritingIsWholeAndHoldsWhatWasAcknowledged(t *testing.T) {
	r := newRig(t)
	if err := r.createBalancer("before"); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := r.createBalancer(fmt.Sprintf("during-%d", i)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	body, err := r.admin().Call(t.Context(), "Backup", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	copied, err := io.ReadAll(body)
	_ = body.Close()
	close(stop)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, copied, 0o600); err != nil {
		t.Fatal(err)
	}
	db := statetest.Open(t, path)
	if _, ok := state.LoadBalancersByName.First(db.Current(), "before"); !ok {
		t.Error("the copy lacks what was acknowledged before it began")
	}
}

func TestOnlyTheRootKeyMayCopyTheStateAndReadTheCalls(t *testing.T) {
	r := newRig(t)
	r.writeIAM(`users: [{name: eve, accessKeys: [{accessKeyId: AKIAEVEEVEEVEEVEEVE0, secretAccessKey: hidden}], policies: [{name: all, document: {Version: 2012-10-17, Statement: {Effect: Allow, Action: "*", Resource: "*"}}}]}]`)
	r.restart()
	eve := r.admin()
	eve.Key = directory.Key{AccessKeyID: "AKIAEVEEVEEVEEVEEVE0", SecretAccessKey: "hidden"}
	for _, action := range []string{"Backup", "ListCalls"} {
		if body, err := eve.Call(t.Context(), action, struct{}{}); err == nil {
			_ = body.Close()
			t.Errorf("%s by a user was answered", action)
		} else if !strings.Contains(err.Error(), "AccessDeniedException") {
			t.Errorf("%s: %v", action, err)
		}
	}
	if err := r.createBalancer("web"); err != nil {
		t.Fatal(err)
	}
	var out admin.ListCallsOutput
	if err := r.admin().Do(t.Context(), "ListCalls", admin.ListCallsInput{MaxItems: 3}, &out); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range out.Calls {
		got = append(got, fmt.Sprint(c.Service, " ", c.Action, " ", c.Status, " ", c.ErrorCode, " ", strings.TrimPrefix(c.Caller, "arn:aws:iam::000000000000:")))
	}
	want := []string{"elasticloadbalancing CreateLoadBalancer 200  root", "fairlead ListCalls 400 AccessDeniedException user/eve", "fairlead Backup 400 AccessDeniedException user/eve"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if made := out.Calls[0].Resources; len(made) == 0 || !strings.Contains(strings.Join(made, " "), ":loadbalancer/net/web/") {
		t.Errorf("resources %q, want the load balancer that was made", made)
	}
	file, err := os.ReadFile(filepath.Join(r.dir, "state", auditFile))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := r.engine.RootKey()
	if !bytes.Contains(file, []byte(`"action":"CreateLoadBalancer"`)) || bytes.Contains(file, []byte(key.SecretAccessKey)) || bytes.Contains(file, []byte("hidden")) {
		t.Errorf("the file lacks a call or has a secret:\n%s", file)
	}
}
