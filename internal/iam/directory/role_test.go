package directory

import (
	"log/slog"
	"strings"
	"testing"
)

func TestRolesThatAreRefused(t *testing.T) {
	const roles = `
oidcProviders:
- {url: nonsense, jwksFile: absent.json}
roles:
- {name: "a b", trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: "*", Action: "sts:AssumeRole"}}}
- {name: twice, maxSessionDuration: 60, trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {AWS: "000000000000"}, Action: "sts:AssumeRole"}}}
- {name: twice, trust: {Version: 2012-10-17, Statement: {Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Resource: "*", Action: "sts:AssumeRole", Condition: {StringEquals: {"other.example:sub": x}}}}}
- {name: none}
`
	_, err := Open(Config{Path: files(t, roles), AccountID: account, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Fatal("they were accepted")
	}
	for _, want := range []string{
		`oidcProviders[0].url is "nonsense"`, "oidcProviders[0].jwksFile", `roles[0].name is "a b"`, "roles[1].maxSessionDuration is 60",
		`roles[2].name "twice"`, "Principal.Service", "Resource: belongs to policies of identities", "other.example:sub", "roles[3].trust",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got\n%v\nwant it to name %s", err, want)
		}
	}
}
