package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	account = "000000000000"
	keyID   = "AKIAFAIRLEADTEST0001"
	secret  = "do-not-show-this"
)

const good = `
users:
- name: controller
  accessKeys:
  - {accessKeyId: AKIAFAIRLEADTEST0001, secretAccessKey: do-not-show-this}
  policies:
  - name: inline
    document:
      Version: 2012-10-17
      Statement:
      - {Effect: Allow, Action: "ec2:Describe*", Resource: "*", Condition: {IpAddress: {"aws:SourceIp": 198.18.0.0/16}}}
      - {Effect: Allow, Action: "ec2:CreateTags", Resource: "*", Condition: {StringEquals: {"ec2:Region": us-west-2, "aws:RequestTag/k": v}}}
  - {name: beside, file: policies/beside.json}
- name: idle
`

const beside = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "elasticloadbalancing:*", "Resource": "*"}}`

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// files writes an IAM file and a policy and returns the IAM file's path.
func files(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "iam.yaml"), content)
	write(t, filepath.Join(dir, "policies", "beside.json"), beside)
	return filepath.Join(dir, "iam.yaml")
}

func open(t *testing.T, path string, logger *slog.Logger) *Directory {
	t.Helper()
	d, err := Open(Config{Path: path, AccountID: account, Root: Key{"AKIAROOTROOTROOTROOT", "root"}, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func request(c wire.Caller) context.Context {
	call := wire.Call{Region: "us-west-2", SourceIP: netip.MustParseAddr("198.18.0.10")}
	return wire.WithCall(wire.WithCaller(context.Background(), c), call)
}

func TestKeysAndWhatTheirUsersMay(t *testing.T) {
	d := open(t, files(t, good), slog.New(slog.DiscardHandler))
	controller, ok := d.Credential(keyID)
	if !ok || controller.SecretAccessKey != secret {
		t.Fatalf("key not found: %v", ok)
	}
	want := wire.Caller{AccountID: account, Name: "controller", ARN: "arn:aws:iam::000000000000:user/controller", AccessKeyID: keyID}
	if diff := cmp.Diff(want, controller.Caller); diff != "" {
		t.Errorf("caller (-want +got):\n%s", diff)
	}
	root, ok := d.Credential("AKIAROOTROOTROOTROOT")
	if !ok || root.Caller.ARN != "arn:aws:iam::000000000000:root" {
		t.Errorf("root key: got %+v", root.Caller)
	}
	if _, ok := d.Credential(""); ok {
		t.Error("an empty key ID was accepted")
	}
	idle := wire.Caller{AccountID: account, Name: "idle", ARN: "arn:aws:iam::000000000000:user/idle"}
	for name, tc := range map[string]struct {
		caller wire.Caller
		action string
		keys   map[string][]string
		want   bool
	}{
		"allowed inline, by the address it comes from": {controller.Caller, "ec2:DescribeVpcs", nil, true},
		"allowed by a policy in a file":                {controller.Caller, "elasticloadbalancing:AddTags", nil, true},
		"allowed by keys of use case and request":      {controller.Caller, "ec2:CreateTags", map[string][]string{"aws:RequestTag/k": {"v"}}, true},
		"refused with another tag":                     {controller.Caller, "ec2:CreateTags", map[string][]string{"aws:RequestTag/k": {"w"}}, false},
		"not allowed by anything":                      {controller.Caller, "ec2:CreateVpc", nil, false},
		"a user without policies":                      {idle, "ec2:DescribeVpcs", nil, false},
		"a caller that is gone":                        {wire.Caller{Name: "gone"}, "ec2:DescribeVpcs", nil, false},
		"nobody":                                       {wire.Caller{}, "ec2:DescribeVpcs", nil, false},
		"root may do everything":                       {root.Caller, "ec2:CreateVpc", nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := d.Authorize(request(tc.caller), tc.action, "*", tc.keys)
			if (err == nil) != tc.want {
				t.Errorf("got %v, want allowed %t", err, tc.want)
			}
			if e, ok := errors.AsType[*wire.Error](err); err != nil && (!ok || e.Code != "AccessDenied" || e.Status != 403) {
				t.Errorf("got %#v, want AccessDenied with 403", err)
			}
		})
	}
}

func TestAllProblemsOfTheFileAreReported(t *testing.T) {
	path := files(t, `
users:
- name: "a b"
  accessKeys: [{accessKeyId: short, secretAccessKey: do-not-show-this}, {accessKeyId: AKIAROOTROOTROOTROOT}]
- name: c
  policies:
  - {file: policies/beside.json}
  - {name: both, file: policies/beside.json, document: {}}
  - {name: neither}
  - {name: gone, file: gone.json}
  - {name: odd, document: {Version: 2012-10-17, Statement: {Effect: Allow, Action: x, Resource: "*", Note: 1}}}
- name: c
`)
	_, err := Open(Config{Path: path, AccountID: account, Root: Key{"AKIAROOTROOTROOTROOT", "root"}, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("was accepted")
	}
	want := fmt.Sprintf(`mistakes in the IAM file %s:
users[0].name is "a b"; valid are 1 to 64 letters, digits and +=,.@-_
users[0].accessKeys[0].accessKeyId is "short"; valid are 16 to 128 letters, digits and _
users[0].accessKeys[1].secretAccessKey is missing
users[0].accessKeys[1].accessKeyId AKIAROOTROOTROOTROOT occurs twice
users[1].policies[0].name is missing
users[1].policies[1] needs exactly one of document and file
users[1].policies[2] needs exactly one of document and file
users[1].policies[3].file: open %s: no such file or directory
users[1].policies[4]: policy odd: Statement.Action: "x" is not an action such as ec2:DescribeVpcs or *
policy odd: Statement.Note: is not an element of a statement
users[2].name "c" is taken by another user`, path, filepath.Join(filepath.Dir(path), "gone.json"))
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(err.Error(), secret) {
		t.Error("the error shows a secret")
	}
	for name, content := range map[string]string{"unknown field": "users: [{name: a, groups: []}]", "not YAML": ":\n-", "key twice": "users: []\nusers: []"} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(Config{Path: files(t, content), Logger: slog.New(slog.DiscardHandler)}); err == nil {
				t.Error("was accepted")
			}
		})
	}
}

// logLines hands the messages of a logger to a test.
type logLines struct {
	slog.Handler
	lines chan string
}

func (l logLines) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.lines <- text
	return nil
}

func TestAChangedFileIsTakenUnlessItHasProblems(t *testing.T) {
	path := files(t, good)
	lines := make(chan string, 100)
	d := open(t, path, slog.New(logLines{slog.NewTextHandler(&bytes.Buffer{}, nil), lines}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- d.Watch(ctx) }()
	awaitLine(t, lines, "IAM file read")

	replace(t, path, "users: [{name: other, accessKeys: [{accessKeyId: AKIAFAIRLEADTEST0002, secretAccessKey: x}]}]")
	awaitLine(t, lines, "IAM file read")
	if _, ok := d.Credential("AKIAFAIRLEADTEST0002"); !ok {
		t.Error("the new key is not known")
	}
	if _, ok := d.Credential(keyID); ok {
		t.Error("the removed key is still known")
	}

	replace(t, path, "users: [{name: other, policies: [{name: p, file: later/p.json}]}]")
	awaitLine(t, lines, "will not be seen")
	if _, ok := d.Credential("AKIAFAIRLEADTEST0002"); !ok {
		t.Error("a bad file replaced a good one")
	}

	replace(t, path, "users: [{name: other, policies: [{name: p, file: p.json}]}]")
	if line := awaitLine(t, lines, "not taken"); !strings.Contains(line, "p.json") {
		t.Errorf("the log does not say why: %s", line)
	}
	write(t, filepath.Join(filepath.Dir(path), "p.json"), beside) // what was missing appears
	awaitLine(t, lines, "IAM file read")
	if err := d.Authorize(request(wire.Caller{Name: "other"}), "elasticloadbalancing:AddTags", "*", nil); err != nil {
		t.Errorf("the policy that appeared is not in force: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// replace writes a file as editors do: another one, renamed.
func replace(t *testing.T, path, content string) {
	t.Helper()
	write(t, path+".new", content)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// awaitLine waits for a log line; the test's own time limit ends it otherwise.
func awaitLine(t *testing.T, lines <-chan string, part string) string {
	t.Helper()
	for {
		if line := <-lines; strings.Contains(line, part) {
			return line
		}
	}
}

func TestSecretsOthersCanReadAreWarnedAbout(t *testing.T) {
	path := files(t, good)
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	open(t, path, logger)
	if log.Len() > 0 {
		t.Errorf("a private file was warned about: %s", log.String())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, logger)
	if !strings.Contains(log.String(), "chmod 600") {
		t.Errorf("no warning for a file that all can read: %s", log.String())
	}
}

func TestRootKeyIsGeneratedOnceAndKeptPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root.json")
	first, created, err := LoadRootKey(path)
	if err != nil || !created {
		t.Fatalf("created %t, %v", created, err)
	}
	if !validAccessKeyID(first.AccessKeyID) || len(first.SecretAccessKey) != 40 {
		t.Errorf("key is %q with a secret of %d characters", first.AccessKeyID, len(first.SecretAccessKey))
	}
	again, created, err := LoadRootKey(path)
	if err != nil || created || again != first {
		t.Errorf("the second time: %v, created %t, %v; want the first key", again, created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v (%v), want 0600", info.Mode(), err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info(fmt.Sprintf("%v %+v", first, first), "key", first)
	if strings.Contains(log.String(), first.SecretAccessKey) {
		t.Errorf("the log shows the secret: %s", log.String())
	}
	write(t, path, "{")
	if _, _, err := LoadRootKey(path); err == nil {
		t.Error("a broken file was accepted")
	}
}
