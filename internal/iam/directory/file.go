package directory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/iam"
	"github.com/fairlead-lb/fairlead/internal/iam/oidc"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// maxFileBytes bounds the IAM file.
const maxFileBytes = 4 << 20

// file is the IAM file.
type file struct {
	Users         []user         `json:"users"`
	Roles         []role         `json:"roles"`
	OIDCProviders []oidcProvider `json:"oidcProviders"`
}

type user struct {
	Name       string      `json:"name"`
	AccessKeys []Key       `json:"accessKeys"`
	Policies   []policyRef `json:"policies"`
}

// policyRef is a policy: a document, or the path of one relative to the IAM
// file's directory.
type policyRef struct {
	Name     string          `json:"name"`
	Document json.RawMessage `json:"document,omitempty"`
	File     string          `json:"file,omitempty"`
}

// Rules of IAM's API reference: CreateUser, AccessKey.
var (
	namePattern        = regexp.MustCompile(`^[\w+=,.@-]+$`)
	accessKeyIDPattern = regexp.MustCompile(`^\w+$`)
)

func validName(s string) bool { return len(s) <= 64 && namePattern.MatchString(s) }

func validAccessKeyID(s string) bool {
	return len(s) >= 16 && len(s) <= 128 && accessKeyIDPattern.MatchString(s)
}

// reader collects a reading and the problems of the files.
type reader struct {
	*Directory
	reading
	problems []error
}

func (r *reader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// read reads all files anew. With an error the reading is good for nothing but
// to know which files to watch.
func (d *Directory) read() (*reading, error) {
	r := &reader{Directory: d, reading: reading{
		keys: map[string]wire.Credential{}, policies: map[string][]*iam.Policy{}, roles: map[string]*Role{}, providers: map[string]oidc.Provider{},
	}}
	if d.Path == "" {
		return &r.reading, nil
	}
	raw, err := r.load(d.Path)
	if err != nil {
		return &r.reading, fmt.Errorf("read the IAM file: %w", err)
	}
	var f file
	if err := yaml.UnmarshalStrict(raw, &f); err != nil {
		return &r.reading, fmt.Errorf("parse the IAM file %s: %w", d.Path, err)
	}
	for i, u := range f.Users {
		r.user(fmt.Sprintf("users[%d]", i), u)
	}
	for i, p := range f.OIDCProviders {
		r.provider(fmt.Sprintf("oidcProviders[%d]", i), p)
	}
	for i, role := range f.Roles {
		r.role(fmt.Sprintf("roles[%d]", i), role)
	}
	if len(r.problems) > 0 {
		return &r.reading, fmt.Errorf("mistakes in the IAM file %s:\n%w", d.Path, errors.Join(r.problems...))
	}
	r.warnWhenReadable()
	return &r.reading, nil
}

// load reads a file and remembers it for watching, also when it is missing.
func (r *reader) load(path string) ([]byte, error) {
	r.files = append(r.files, path)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(raw) > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return raw, err
}

func (r *reader) user(path string, u user) {
	if !validName(u.Name) {
		r.problem("%s.name is %q; valid are 1 to 64 letters, digits and +=,.@-_", path, u.Name)
	}
	if _, twice := r.policies[u.Name]; twice {
		r.problem("%s.name %q is taken by another user", path, u.Name)
	}
	r.policies[u.Name] = nil
	for i, k := range u.AccessKeys {
		r.key(fmt.Sprintf("%s.accessKeys[%d]", path, i), u, k)
	}
	for i, p := range u.Policies {
		if parsed := r.policy(fmt.Sprintf("%s.policies[%d]", path, i), p); parsed != nil {
			r.policies[u.Name] = append(r.policies[u.Name], parsed)
		}
	}
}

func (r *reader) key(path string, u user, k Key) {
	if !validAccessKeyID(k.AccessKeyID) {
		r.problem("%s.accessKeyId is %q; valid are 16 to 128 letters, digits and _", path, k.AccessKeyID)
	}
	if k.SecretAccessKey == "" {
		r.problem("%s.secretAccessKey is missing", path)
	}
	if _, twice := r.keys[k.AccessKeyID]; twice || k.AccessKeyID == r.Root.AccessKeyID {
		r.problem("%s.accessKeyId %s occurs twice", path, k.AccessKeyID)
	}
	caller := wire.Caller{
		AccountID: r.AccountID, Name: u.Name, AccessKeyID: k.AccessKeyID,
		ARN: "arn:aws:iam::" + r.AccountID + ":user/" + u.Name,
	}
	r.keys[k.AccessKeyID] = wire.Credential{Caller: caller, SecretAccessKey: k.SecretAccessKey}
}

// policy reads a policy; nil when it has problems.
func (r *reader) policy(path string, ref policyRef) *iam.Policy {
	document := []byte(ref.Document)
	switch {
	case ref.Name == "":
		r.problem("%s.name is missing", path)
	case (ref.File == "") == (len(document) == 0):
		r.problem("%s needs exactly one of document and file", path)
		return nil
	}
	if ref.File != "" {
		raw, err := r.load(r.beside(ref.File))
		if err != nil {
			r.problem("%s.file: %w", path, err)
			return nil
		}
		document = raw
	}
	p, err := iam.Parse(ref.Name, document)
	if err != nil {
		r.problem("%s: %w", path, err)
		return nil
	}
	return p
}

// beside is a path relative to the IAM file's directory.
func (r *reader) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(r.Path), path)
}

// warnWhenReadable warns when others than the owner can read secrets.
func (r *reader) warnWhenReadable() {
	info, err := os.Stat(r.Path)
	if err == nil && len(r.keys) > 0 && info.Mode().Perm()&0o077 != 0 {
		r.Logger.Warn("the IAM file holds secrets and others can read it; run chmod 600 on it", "path", r.Path, "mode", info.Mode().Perm().String())
	}
}
