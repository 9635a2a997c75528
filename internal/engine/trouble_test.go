package engine

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/apitest"
	"github.com/fairlead-lb/fairlead/internal/engine/admin"
	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/lb"
)

// admin is a client of the engine's own API with the root key.
func (r *rig) admin() admin.Client {
	key, _ := r.engine.RootKey()
	return admin.Client{Endpoint: r.url, Key: key, HTTP: r.http}
}

func (r *rig) setTrouble(s trouble.Settings) {
	r.t.Helper()
	var taken trouble.Settings
	if err := r.admin().Do(r.t.Context(), "PutTrouble", s, &taken); err != nil {
		r.t.Fatal(err)
	}
	if diff := cmp.Diff(s, taken); diff != "" {
		r.t.Fatalf("settings taken (-want +got):\n%s", diff)
	}
}

func (r *rig) createBalancer(name string) error {
	_, err := r.CreateLoadBalancer(r.t.Context(), &elb.CreateLoadBalancerInput{Name: &name, Type: types.LoadBalancerTypeEnumNetwork, Subnets: []string{"subnet-a"}})
	return err
}

func (r *rig) exists(name string) bool {
	r.t.Helper()
	_, err := r.DescribeLoadBalancers(r.t.Context(), &elb.DescribeLoadBalancersInput{Names: []string{name}})
	if _, absent := errors.AsType[*types.LoadBalancerNotFoundException](err); err != nil && !absent {
		r.t.Fatal(err)
	}
	return err == nil
}

func TestFaultsReachClients(t *testing.T) {
	r := newRig(t)
	r.setTrouble(trouble.Settings{Faults: []trouble.Fault{
		{Action: "CreateLoadBalancer", Hold: trouble.Duration(time.Millisecond),
			Script: []trouble.Kind{trouble.ErrorBefore, trouble.ErrorAfter, trouble.Throttled, trouble.TimeoutBefore, trouble.TimeoutAfter}},
	}})
	for _, step := range []struct {
		name, code string
		made       bool
	}{
		{"before", "InternalFailure", false}, {"after", "InternalFailure", true}, {"throttled", "Throttling", false},
		{"timeout-before", "", false}, {"timeout-after", "", true}, // without an answer there is no code
	} {
		err := r.createBalancer(step.name)
		if err == nil || apitest.Code(err) != step.code || r.exists(step.name) != step.made {
			t.Errorf("%s: %v, made %t; want code %q, made %t", step.name, err, r.exists(step.name), step.code, step.made)
		}
	}
	if err := r.createBalancer("fine"); err != nil {
		t.Errorf("after the script: %v", err)
	}
}

func TestReadsLagAndCatchUp(t *testing.T) {
	r := newRig(t)
	r.setTrouble(trouble.Settings{ReadLag: trouble.Duration(time.Hour)})
	r.await("the present to be remembered", func() bool { return r.engine.lag.Remembers() })
	if err := r.createBalancer("web"); err != nil {
		t.Fatal(err)
	}
	if r.exists("web") {
		t.Error("a read within the lag sees what was just created")
	}
	if err := r.createBalancer("web"); err != nil {
		t.Errorf("a second create, which sees the present, is not idempotent: %v", err)
	}
	r.setTrouble(trouble.Settings{})
	if !r.exists("web") {
		t.Error("a read without lag does not see it")
	}
}

func TestRegistrationTakesItsTimeAlsoOverARestart(t *testing.T) {
	r := newRig(t)
	r.setTrouble(trouble.Settings{Registration: trouble.Duration(time.Second), Deregistration: trouble.Duration(time.Hour)})
	f := r.fixture("0")
	a := r.edge("us-west-2a")
	a.until("a group without targets", targets(0))
	if got := r.states(f.group); !cmp.Equal(got, []string{"initial", "initial"}) {
		t.Errorf("states %q, want both initial", got)
	}
	a.stop()
	r.restart()
	again := r.edge("us-west-2a")
	s := again.until("the target", targets(1))
	if s.TargetGroups[0].Targets[0].ID != "i-a" {
		t.Errorf("targets %+v", s.TargetGroups[0].Targets)
	}
	r.setTrouble(trouble.Settings{Deregistration: trouble.Duration(time.Hour)})
	_, err := r.DeregisterTargets(t.Context(), &elb.DeregisterTargetsInput{TargetGroupArn: &f.group, Targets: []types.TargetDescription{{Id: aws.String("i-a")}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.states(f.group); got[0] != string(lb.Draining) {
		t.Errorf("states %q, want the first draining although its group has no delay", got)
	}
}

func TestOnlyTheRootKeyMayMakeTrouble(t *testing.T) {
	r := newRig(t)
	wrong := r.admin()
	wrong.Key.SecretAccessKey = "wrong"
	if err := wrong.Do(t.Context(), "GetTrouble", struct{}{}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("a wrong secret: %v", err)
	}
	c := r.admin()
	if err := c.Do(t.Context(), "PutTrouble", map[string]any{"readLagg": "1s"}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "readLagg") {
		t.Errorf("a misspelt setting: %v", err)
	}
	if err := c.Do(t.Context(), "PutTrouble", trouble.Settings{ReadLag: -1}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "readLag") {
		t.Errorf("a setting out of range: %v", err)
	}
	r.writeIAM(`users: [{name: eve, accessKeys: [{accessKeyId: AKIAEVEEVEEVEEVEEVE0, secretAccessKey: s}], policies: [{name: all, document: {Version: 2012-10-17, Statement: {Effect: Allow, Action: "*", Resource: "*"}}}]}]`)
	r.restart()
	eve := r.admin()
	eve.Key = directory.Key{AccessKeyID: "AKIAEVEEVEEVEEVEEVE0", SecretAccessKey: "s"}
	for _, action := range []string{"GetTrouble", "PutTrouble"} {
		if err := eve.Do(t.Context(), action, struct{}{}, &struct{}{}); err == nil || !strings.Contains(err.Error(), "AccessDeniedException") {
			t.Errorf("%s by a user who may do everything: %v", action, err)
		}
	}
	response, err := r.http.Post(r.url, "application/x-amz-json-1.1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("an unsigned request: %s", response.Status)
	}
}
