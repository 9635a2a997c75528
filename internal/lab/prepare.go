package lab

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-lb/fairlead/internal/durable"
	"github.com/fairlead-lb/fairlead/internal/lab/component"
	"github.com/fairlead-lb/fairlead/internal/lab/layout"
	"github.com/fairlead-lb/fairlead/internal/lab/pki"
)

// Names of identities that are not components'.
const (
	authority    = "ca"
	adminUser    = "admin"    // from the host
	internalUser = "internal" // the same rights, from inside the lab
)

// client is a user of the API server.
type client struct {
	file    string // of the identity and the kubeconfig
	subject pki.Subject
}

var masters = []string{"system:masters"}

// clients of the API server that every lab has.
func clients() []client {
	return []client{
		{adminUser, pki.Subject{Name: "fairlead-lab:admin", Organizations: masters}},
		{internalUser, pki.Subject{Name: "fairlead-lab:internal", Organizations: masters}},
		{component.ControllerManager, pki.Subject{Name: "system:kube-controller-manager"}},
		{component.Scheduler, pki.Subject{Name: "system:kube-scheduler"}},
		{component.KubeProxy, pki.Subject{Name: "system:kube-proxy"}},
		{component.ClusterDNS, pki.Subject{Name: "cluster-dns"}},
		{component.Controller, pki.Subject{Name: component.ControllerUser}},
	}
}

func nodeClient(n layout.Node) client {
	return client{n.Name, pki.Subject{Name: "system:node:" + n.Name, Organizations: []string{"system:nodes"}}}
}

func apiServerSubject() pki.Subject {
	service := "kubernetes.default.svc"
	return pki.Subject{
		Name:     "kube-apiserver",
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", service, service + "." + component.Domain},
		IPs: []netip.Addr{
			loopback(0).Addr(), netip.IPv6Loopback(), layout.Control4, layout.Control6, layout.APIServer,
		},
	}
}

// preparer writes the files that components find when they start.
type preparer struct {
	dir component.Dir
	s   state
	l   layout.Layout
	now time.Time
}

// all writes everything for a lab that starts.
func (p preparer) all() error {
	ca, err := pki.NewAuthority("fairlead-lab", p.now)
	if err != nil {
		return err
	}
	key, err := pki.NewKey()
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return p.write(p.dir.Certificate(authority), ca.Certificate, 0o644) },
		func() error { return p.write(p.dir.Key(authority), ca.Key, 0o600) },
		func() error { return p.write(p.dir.Key(component.ServiceAccountKey), key, 0o600) },
		func() error { return p.issue(ca, "apiserver", apiServerSubject()) },
		func() error { return p.issue(ca, "apiserver-kubelet", pki.Subject{Name: "kube-apiserver"}) },
		func() error { return p.clients(ca, clients()) },
		func() error { return p.nodes(ca, p.l.Nodes) },
		p.iam, p.inventory, p.resolvers, p.programs,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// node writes what a node that joins needs.
func (p preparer) node(n layout.Node) error {
	ca, err := p.authority()
	if err != nil {
		return err
	}
	if err := p.nodes(ca, []layout.Node{n}); err != nil {
		return err
	}
	return p.inventory()
}

func (p preparer) authority() (*pki.Authority, error) {
	cert, err := os.ReadFile(p.dir.Certificate(authority))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(p.dir.Key(authority))
	if err != nil {
		return nil, err
	}
	return pki.Load(pki.Identity{Certificate: cert, Key: key})
}

// write makes missing directories; they may be looked into, their secrets not.
func (p preparer) write(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

func (p preparer) issue(ca *pki.Authority, file string, s pki.Subject) error {
	id, err := ca.Issue(s, p.now)
	if err != nil {
		return err
	}
	if err := p.write(p.dir.Certificate(file), id.Certificate, 0o644); err != nil {
		return err
	}
	return p.write(p.dir.Key(file), id.Key, 0o600)
}

func (p preparer) nodes(ca *pki.Authority, nodes []layout.Node) error {
	for _, n := range nodes {
		if err := p.clients(ca, []client{nodeClient(n)}); err != nil {
			return err
		}
		serving := pki.Subject{
			Name: "system:node:" + n.Name, Organizations: []string{"system:nodes"},
			DNSNames: []string{n.Name}, IPs: []netip.Addr{n.IPv4, n.IPv6, loopback(0).Addr()},
		}
		if err := p.issue(ca, component.ServingName(n.Name), serving); err != nil {
			return err
		}
	}
	return nil
}

func (p preparer) clients(ca *pki.Authority, all []client) error {
	for _, c := range all {
		if err := p.issue(ca, c.file, c.subject); err != nil {
			return err
		}
		if err := p.kubeconfig(c.file); err != nil {
			return err
		}
	}
	return nil
}

// kubeconfig is self-contained, so that it can be copied.
func (p preparer) kubeconfig(file string) error {
	server := component.APIServerAddress()
	if file == adminUser {
		server = loopback(p.s.APIPort)
	}
	cluster := clientcmdapi.NewCluster()
	cluster.Server = "https://" + server.String()
	user := clientcmdapi.NewAuthInfo()
	for path, data := range map[string]*[]byte{
		p.dir.Certificate(authority): &cluster.CertificateAuthorityData,
		p.dir.Certificate(file):      &user.ClientCertificateData,
		p.dir.Key(file):              &user.ClientKeyData,
	} {
		var err error
		if *data, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	const name = "fairlead-lab"
	config := clientcmdapi.NewConfig()
	config.Clusters[name], config.AuthInfos[file], config.CurrentContext = cluster, user, name
	config.Contexts[name] = clientcmdapi.NewContext()
	config.Contexts[name].Cluster, config.Contexts[name].AuthInfo = name, file
	data, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return p.write(p.dir.Kubeconfig(file), data, 0o600)
}

// inventory replaces the file in one step, because the engine watches it.
func (p preparer) inventory() error {
	data, err := yaml.Marshal(p.l.Inventory(p.s.Cluster))
	if err != nil {
		return fmt.Errorf("write the inventory: %w", err)
	}
	if err := os.MkdirAll(p.dir.Engine(), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(p.dir.Inventory(), data, 0o600)
}

// resolvers are for clients, edges and nodes: the cluster's DNS and no other,
// asked in the plain way whatever the machine does.
func (p preparer) resolvers() error {
	for name, content := range map[string]string{
		"resolv.conf":   component.Resolver(),
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
	} {
		if err := p.write(filepath.Join(p.dir.Resolv(), name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}
