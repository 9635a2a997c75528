package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/cli"
)

// run calls the program as a person would, with errors and hints left to Main.
func run(t *testing.T, args ...string) (printed string, err error) {
	t.Helper()
	root := newRootCommand()
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(&out)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return out.String(), err
}

// Every mistake in a command line is told at once: its flag, its value and what
// would be valid.
func TestMistakesInFlagsAreToldAllAtOnce(t *testing.T) {
	t.Setenv("KUBECONFIG", "")
	tests := map[string]struct {
		args []string
		want []string
	}{
		"the controller": {
			[]string{
				"controller", "--cluster-name=a b", "--region=US West", "--vpc-id=mine", "--aws-request-rate=-1", "--default-scheme=public",
				"--default-target-type=lambda", "--default-health-check-interval=7ms", "--default-healthy-threshold=1",
				"--default-unhealthy-threshold=11", "--workers=0", "--resync=5s", "--deep-resync=5s", "--retry-max=0s",
				"--metrics-listen=x", "--health-listen=1:99999",
			},
			[]string{
				`--cluster-name "a b": must be 1 to 100 letters, digits or characters of _.:/=+@-`, `--region "US West": must be a region such as us-west-2`,
				`--vpc-id "mine": must be an ID such as vpc-`, `--aws-request-rate -1: must not be negative`,
				`--default-scheme "public": must be internet-facing or internal`, `--default-target-type "lambda": must be instance or ip`,
				`--default-health-check-interval 7ms: must be whole seconds from 5s to 300s`, `--default-healthy-threshold 1: must be 2 to 10`,
				`--default-unhealthy-threshold 11: must be 2 to 10`, `--workers 0: must be at least 1`, `--resync 5s: must be at least 1m`,
				`--deep-resync 5s: must be at least 1m`, `--retry-max 0s: must be at least 1s`, `--metrics-listen "x": must be host:port`,
				`--health-listen "1:99999": must be host:port`,
			},
		},
		"a plan": {
			[]string{"plan", "--output=xml", "--default-scheme=public"},
			[]string{"--filename is required", `--output "xml": must be text or json`, "--cluster-name is required", "--default-scheme"},
		},
		"the engine": {
			[]string{
				"engine", "--region=x y", "--account-id=12", "--listen=nope", "--edge-listen=:x", "--dns-listen=qq", "--metrics-listen=zz",
				"--dns-ttl=-5s", "--max-load-balancers=-1", "--max-classic-load-balancers=0", "--max-target-groups=0", "--audit-files=0",
				"--audit-max-bytes=1", "--tls-cert=c", "--http", "--fault=bogus", "--state-dir=",
			},
			[]string{
				"--inventory is required", `--region "x y": must be`, `--account-id "12": must be twelve digits`, `--listen "nope": must be host:port`,
				`--edge-listen ":x": must be`, `--dns-listen "qq": must be`, `--metrics-listen "zz": must be`, "--dns-ttl -5s: must be whole seconds",
				"--max-load-balancers -1: must be at least 1", "--max-classic-load-balancers 0", "--max-target-groups 0", "--audit-files 0",
				"--audit-max-bytes 1: must be at least 1024", "--tls-cert and --tls-key belong together", "--tls-cert has no use", "bogus", "--state-dir is required",
			},
		},
		"an edge": {
			[]string{
				"edge", "--engine=b", "--xdp-mode=fast", "--data-path=quick", "--flows=-1", "--userspace-address=x", "--drain-timeout=-1s",
				"--handover-timeout=-1s", "--metrics-listen=y", "--access-log-dir=d", "--access-log-s3=bucket",
			},
			[]string{
				"--zone is required", "--identity is required", `--engine "b": must be host:port`, `--xdp-mode "fast": must be native, generic or auto`,
				`--data-path "quick": must be xdp, userspace or auto`, "--flows -1: must be at least 1", `--userspace-address "x": must be an address`,
				"--drain-timeout -1s: must not be negative", "--handover-timeout -1s: must not be negative", `--metrics-listen "y": must be host:port`,
				"--access-log-dir and --access-log-s3 exclude each other", `--access-log-s3 "bucket": must be a URL`,
			},
		},
		"the helper":  {[]string{"node", "--max-flows=0", "--metrics-listen=1"}, []string{"--max-flows 0: must be at least 1", `--metrics-listen "1": must be host:port`}},
		"a backup":    {[]string{"engine", "backup", "--endpoint=nonsense"}, []string{"--out is required", `--endpoint "nonsense": must be a URL`}},
		"trouble":     {[]string{"engine", "trouble", "--set=x", "--clear", "--endpoint=ftp://x"}, []string{"--set and --clear exclude each other", `--endpoint "ftp://x": must be a URL`}},
		"an identity": {[]string{"engine", "issue-edge"}, []string{"--zone is required", "--out is required"}},
		"a trace": {
			[]string{"trace", "a", "1.2.3.4:99999", "--proto=icmp"},
			[]string{`"a": must be ADDRESS:PORT`, `"1.2.3.4:99999": must be ADDRESS:PORT`, `--proto "icmp": must be tcp or udp`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, test.args...)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestAnIdentitySaysWhatWasMade(t *testing.T) {
	state, out := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "identity")
	args := []string{"engine", "issue-edge", "--zone=us-west-2a", "--out=" + out, "--state-dir=" + state}
	first, err := run(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{state + " had no authority for edges and has one now", out + " holds the identity of the edge of us-west-2a until "} {
		if !strings.Contains(first, want) {
			t.Errorf("it says %q, want …%s…", first, want)
		}
	}
	again, err := run(t, args...)
	if err != nil || strings.Contains(again, "had no authority") {
		t.Errorf("the second time it says %q, error %v", again, err)
	}
}

func TestWhatTheEngineLacksIsNamed(t *testing.T) {
	dir := t.TempDir()
	_, err := run(t, "engine", "backup", "--out="+filepath.Join(dir, "copy"), "--state-dir="+filepath.Join(dir, "none"))
	if err == nil || !strings.Contains(err.Error(), "root-key.json") {
		t.Errorf("backup without an engine: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "copy")); err == nil {
		t.Error("a copy of nothing was written")
	}
}

func TestAnUplinkThatIsNotThereIsNamed(t *testing.T) {
	err := explainEdge("run the edge", atUplink("nope0", errors.New("find the uplink nope0: no such network interface")))
	if hinted, ok := errors.AsType[*cli.Error](err); !ok || !strings.Contains(hinted.Hint, "--interface") || !strings.Contains(err.Error(), `"nope0"`) {
		t.Errorf("error %v, want one that names the interface and --interface", err)
	}
	other := errors.New("something else")
	if got := atUplink("lo", other); !errors.Is(got, other) {
		t.Errorf("with an interface that is there the error is %v", got)
	}
}
