package lab

import (
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/config"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
)

// iamFile is the engine's IAM file, as far as the lab uses it.
type iamFile struct {
	Users []iamUser `json:"users"`
}

type iamUser struct {
	Name       string                  `json:"name"`
	AccessKeys []component.Credentials `json:"accessKeys"`
	Policies   []iamPolicy             `json:"policies"`
}

type iamPolicy struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document,omitempty"`
	File     string          `json:"file,omitempty"` // relative to the IAM file
}

// administrator may do everything, as AWS's policy of that name.
const administrator = `{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}`

// iam gives the person at the lab an administrator's key and the controller one
// with exactly the published policy, so that every run proves it sufficient.
func (p preparer) iam() error {
	data, err := yaml.Marshal(iamFile{Users: []iamUser{
		{adminUser, []component.Credentials{p.s.Admin}, []iamPolicy{{Name: "AdministratorAccess", Document: json.RawMessage(administrator)}}},
		{component.Controller, []component.Credentials{p.s.Controller}, []iamPolicy{{Name: "FairleadController", File: component.ControllerPolicyFile}}},
	}})
	if err != nil {
		return fmt.Errorf("write the IAM file: %w", err)
	}
	if err := p.write(p.dir.ControllerPolicy(), config.ControllerPolicy, 0o600); err != nil {
		return err
	}
	return p.write(p.dir.IAM(), data, 0o600)
}
