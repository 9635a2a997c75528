// Package engine is a load-balancing service with the API of AWS: it serves
// ELBv2, ELB, EC2 and STS, keeps the state, tells the edges what to do and
// answers for the names of load balancers.
//
// Data flows one way: an API call changes the state in one transaction; what
// lies downstream (snapshots for edges, DNS answers, draining) follows the
// revisions of the state. Edges report health back, which is kept in memory.
//
// Invariants: nothing is acknowledged before it is durable; a restart loses
// health reports alone, and every edge sends its own again; edges that lose the
// engine go on forwarding.
package engine

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/internal/edgeapi"
	"github.com/fairlead-lb/fairlead/internal/engine/acm"
	"github.com/fairlead-lb/fairlead/internal/engine/admin"
	"github.com/fairlead-lb/fairlead/internal/engine/audit"
	"github.com/fairlead-lb/fairlead/internal/engine/ec2"
	"github.com/fairlead-lb/fairlead/internal/engine/elb"
	"github.com/fairlead-lb/fairlead/internal/engine/elbv2"
	"github.com/fairlead-lb/fairlead/internal/engine/names"
	"github.com/fairlead-lb/fairlead/internal/engine/sealed"
	"github.com/fairlead-lb/fairlead/internal/engine/shield"
	"github.com/fairlead-lb/fairlead/internal/engine/state"
	"github.com/fairlead-lb/fairlead/internal/engine/sts"
	"github.com/fairlead-lb/fairlead/internal/engine/tagging"
	"github.com/fairlead-lb/fairlead/internal/engine/targethealth"
	"github.com/fairlead-lb/fairlead/internal/engine/trouble"
	"github.com/fairlead-lb/fairlead/internal/engine/vpc"
	"github.com/fairlead-lb/fairlead/internal/iam/directory"
	"github.com/fairlead-lb/fairlead/internal/inventory"
	"github.com/fairlead-lb/fairlead/internal/store"
	"github.com/fairlead-lb/fairlead/internal/wire"
)

// Files in the state directory.
const (
	stateFile   = "state.db"
	rootKeyFile = "root-key.json"
	dataKeyFile = "data-key.json" // opens the secrets in the state
	auditFile   = "audit.jsonl"
)

// Bounds of the audit log unless Config says otherwise.
const (
	DefaultAuditMaxBytes = 64 << 20
	DefaultAuditFiles    = 5
)

// Config is what an Engine is made of. Region, AccountID, StateDir, Inventory,
// Logger and Metrics are required.
type Config struct {
	Region    string
	AccountID string // twelve digits
	StateDir  string // created when absent, readable by its owner alone
	Inventory string // path of the inventory file
	IAM       string // path of the IAM file; empty: the root key alone
	Quotas    elbv2.Quotas
	Classic   elb.Quotas       // zero: elb.DefaultQuotas
	Trouble   trouble.Settings // that there is from the start
	DNSTTL    time.Duration

	AuditMaxBytes int64 // of a file of the audit log; 0: DefaultAuditMaxBytes
	AuditFiles    int   // of the audit log; 0: DefaultAuditFiles

	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Engine is the service without its sockets.
type Engine struct {
	Config
	db        *store.Store
	disk      *store.File
	audit     *audit.Log
	trouble   *trouble.Trouble
	lag       *trouble.Lag
	box       *sealed.Box
	network   *network
	directory *directory.Directory
	health    *targethealth.Registry
	publisher *publisher
	handler   http.Handler
	rootKey   directory.Key
	newKey    bool
}

// Open reads the state and the files that c names. Close it in the end.
func Open(c Config) (*Engine, error) {
	e := &Engine{Config: c, health: targethealth.NewRegistry()}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	file, err := openInventory(c.Inventory, c.Logger)
	if err != nil {
		return nil, err
	}
	if e.rootKey, e.newKey, err = directory.LoadRootKey(filepath.Join(c.StateDir, rootKeyFile)); err != nil {
		return nil, err
	}
	e.directory, err = directory.Open(directory.Config{Path: c.IAM, AccountID: c.AccountID, Root: e.rootKey, Logger: c.Logger})
	if err != nil {
		return nil, err
	}
	if err := e.openState(); err != nil {
		return nil, err
	}
	if err := file.fit(func(i *inventory.Index) error { return vpc.Check(i, e.db.Current()) }); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	if e.trouble, err = trouble.New(c.Trouble, time.Now); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.lag = trouble.NewLag(e.db, e.trouble)
	e.network = newNetwork(file, e.db)
	e.publisher = newPublisher(publisherConfig{health: e.health, certificate: e.openCertificate, log: e.Logger}, e.db.Current(), e.network.current())
	observer, err := newObserver(c.Logger, e.audit, c.Metrics)
	if err = errors.Join(err, registerGauges(c.Metrics, e)); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.handler = e.newHandler(observer)
	return e, nil
}

// openState opens the state and the key of its secrets.
func (e *Engine) openState() error {
	path := filepath.Join(e.StateDir, dataKeyFile)
	box, _, err := sealed.Open(path)
	if err != nil {
		return err
	}
	if e.disk, err = store.OpenFile(filepath.Join(e.StateDir, stateFile)); err != nil {
		return err
	}
	if e.db, err = state.Open(e.disk); err != nil {
		return err
	}
	if err := acm.CheckBox(e.db.Current(), box); err != nil {
		return errors.Join(fmt.Errorf("%s does not belong to the state: %w", path, err), e.db.Close())
	}
	e.box = box
	e.audit, err = audit.Open(audit.Config{
		Path: filepath.Join(e.StateDir, auditFile), MaxBytes: cmp.Or(e.AuditMaxBytes, DefaultAuditMaxBytes),
		Files: cmp.Or(e.AuditFiles, DefaultAuditFiles), Logger: e.Logger,
	})
	if err != nil {
		return errors.Join(err, e.db.Close())
	}
	return nil
}

func (e *Engine) newHandler(observer observer) http.Handler {
	apis, stale := e.apis(e.db, e.network.current), e.apis(e.lag, newNetwork(e.network.inventoryFile, e.lag).current)
	for i := range apis {
		apis[i] = trouble.Reads(apis[i], stale[i])
	}
	admin := admin.New(admin.Config{Trouble: e.trouble, Calls: e.audit, Copy: e.disk.Copy, Root: e.directory.IsRoot})
	tokens := sts.New(sts.Config{AccountID: e.AccountID, Directory: e.directory, Box: e.box, Now: time.Now})
	return wire.NewHandler(wire.Config{
		APIs: append(apis, tokens.API(), shield.API(e.directory), admin.API()), Around: e.trouble.Around,
		Credentials: e.directory, Sessions: tokens, Region: e.Region, Now: time.Now, Logger: e.Logger, Audit: observer.record,
	})
}

// apis are the services that stand on the state, over one view of it.
func (e *Engine) apis(db state.DB, network func() *inventory.Index) []wire.API {
	v2 := elbv2.New(elbv2.Config{
		Region: e.Region, AccountID: e.AccountID, Quotas: e.Quotas, Delays: e.delays, Certificate: hasCertificate,
		DB: db, Network: network, Health: e.health, DataPath: e.health.DataPath, Authorizer: e.directory, Now: time.Now,
	})
	classic := elb.New(elb.Config{
		Region: e.Region, AccountID: e.AccountID, Quotas: cmp.Or(e.Classic, elb.DefaultQuotas()), Certificate: hasCertificate,
		DB: db, Network: network, Health: e.health, Authorizer: e.directory, Now: time.Now,
	})
	vpcs := ec2.New(ec2.Config{
		Region: e.Region, AccountID: e.AccountID, DB: db, Network: network, Authorizer: e.directory,
	})
	tags := tagging.New(tagging.Config{DB: db, Authorizer: e.directory, Region: e.Region, AccountID: e.AccountID, EC2: vpcs.Tagged})
	return []wire.API{v2.API(), classic.API(), vpcs.API(), tags.API(), e.certificates(db).API()}
}

func (e *Engine) delays() elbv2.Delays {
	s := e.trouble.Settings()
	return elbv2.Delays{
		Provisioning: time.Duration(s.Provisioning), Registration: time.Duration(s.Registration),
		Deregistration: time.Duration(s.Deregistration),
	}
}

// Handler serves the API.
func (e *Engine) Handler() http.Handler { return e.handler }

// Source is the engine as its edges see it.
func (e *Engine) Source() edgeapi.Source { return e.publisher }

// RootKey is the key that may do everything; created tells that it was made by
// this Open and has to be shown.
func (e *Engine) RootKey() (key directory.Key, created bool) { return e.rootKey, e.newKey }

// ReadRootKey reads the root key of the engine with this state directory. It
// makes none.
func ReadRootKey(stateDir string) (directory.Key, error) {
	path := filepath.Join(stateDir, rootKeyFile)
	if _, err := os.Stat(path); err != nil {
		return directory.Key{}, fmt.Errorf("read the root key: %w", err)
	}
	key, _, err := directory.LoadRootKey(path)
	return key, err
}

// CertificateFile is where the engine with this state directory keeps the
// certificate that it made for itself.
func CertificateFile(stateDir string) string { return filepath.Join(stateDir, certificateFile) }

// Lookup implements dns.Resolver.
func (e *Engine) Lookup(name string) ([]netip.Addr, time.Duration, bool) {
	addresses, found := names.Addresses(e.db.Current(), e.network.current(), e.health, name)
	return addresses, e.DNSTTL, found
}

// Ready is nil while the engine can serve writes.
func (e *Engine) Ready() error { return e.db.Err() }

// Close makes what is under way durable and releases the state.
func (e *Engine) Close() error { return errors.Join(e.db.Close(), e.audit.Close()) }

func sameInventory(a, b *inventory.Index) bool { return reflect.DeepEqual(a.File, b.File) }
