package podplan

import (
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLookupImage(t *testing.T) {
	agn := Image{Entrypoint: []string{AgnhostPath}, Cmd: []string{"pause"}}
	web := Image{Cmd: []string{"nginx"}}
	for ref, want := range map[string]Image{
		"nginx":                          web,
		"nginx:1.29":                     web,
		"docker.io/library/nginx:latest": web,
		"library/nginx@sha256:00":        web,
		"registry.k8s.io/e2e-test-images/agnhost:2.63":  agn,
		"registry.k8s.io/e2e-test-images/agnhost":       agn,
		"registry.k8s.io/pause:3.10":                    {Entrypoint: []string{AgnhostPath, "pause"}},
		"registry.k8s.io/pause:3.10@sha256:00000000000": {Entrypoint: []string{AgnhostPath, "pause"}},
	} {
		got, err := LookupImage(ref)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", ref, err, diff)
		}
	}
	for _, ref := range []string{"", "redis", "registry:5000/nginx", "nginx-unprivileged", "example.com/nginx"} {
		if _, err := LookupImage(ref); err == nil || !strings.Contains(err.Error(), "agnhost") {
			t.Errorf("%q: error %v, want one that lists what there is", ref, err)
		}
	}
}

func TestExpand(t *testing.T) {
	values := map[string]string{"A": "1", "EMPTY": "", "DEEP": "$(A)"}
	lookup := func(n string) (string, bool) { v, ok := values[n]; return v, ok }
	for in, want := range map[string]string{
		"":              "",
		"plain":         "plain",
		"$(A)":          "1",
		"x$(A)y$(A)z":   "x1y1z",
		"$(EMPTY)":      "",
		"$(UNKNOWN)":    "$(UNKNOWN)",
		"$$(A)":         "$(A)",
		"$$$(A)":        "$1",
		"$A":            "$A",
		"$(A":           "$(A",
		"ends with $":   "ends with $",
		"ends with $$":  "ends with $",
		"$(DEEP)":       "$(A)",
		"$()":           "$()",
		"a $ b $(A) $$": "a $ b 1 $",
	} {
		if got := expand(in, lookup); got != want {
			t.Errorf("expand %q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a$(A)$$$(B)$")
	f.Fuzz(func(t *testing.T, s string) {
		none := func(string) (string, bool) { return "", false }
		if got := expand(s, none); !strings.Contains(s, "$$") && got != s {
			t.Errorf("without names to replace, %q became %q", s, got)
		}
	})
}

// example is a pod that uses most of what a plan knows.
func example() (*corev1.Pod, Sources) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", UID: "u-1", Labels: map[string]string{"b": "2", "a": "1"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "robot", DNSPolicy: corev1.DNSClusterFirst},
	}
	src := Sources{
		NodeName: "node-1", ClusterDomain: "cluster.local",
		HostIPs:     []netip.Addr{netip.MustParseAddr("198.18.16.16")},
		PodIPs:      []netip.Addr{netip.MustParseAddr("198.18.17.2"), netip.MustParseAddr("2001:db8:0:1:1::2")},
		ClusterDNS:  []netip.Addr{netip.MustParseAddr("198.19.0.10")},
		Allocatable: corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("1Gi")},
		ConfigMaps:  map[string]*corev1.ConfigMap{"cm": {Data: map[string]string{"k": "v", "l": "w"}}},
		Secrets:     map[string]*corev1.Secret{"s": {Data: map[string][]byte{"password": []byte("x")}}},
		Tokens:      map[TokenKey]string{{"", 3607}: "token"},
		Services: []*corev1.Service{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{ClusterIP: "198.19.0.1", Ports: []corev1.ServicePort{{Name: "https", Port: 443}}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "my-db"}, Spec: corev1.ServiceSpec{ClusterIP: "2001:db8:ffff::5", Ports: []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "headless"}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Ports: []corev1.ServicePort{{Port: 1}}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "hidden"}, Spec: corev1.ServiceSpec{ClusterIP: "198.19.0.9", Ports: []corev1.ServicePort{{Port: 1}}}},
		},
	}
	return pod, src
}

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		ctr   corev1.Container
		image Image
		want  func(*Container)
	}{
		"the image's program when nothing is said": {
			image: Image{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
			want:  func(c *Container) { c.Argv = []string{"/agnhost", "pause"} },
		},
		"args replace the image's arguments": {
			ctr:   corev1.Container{Args: []string{"netexec", "--host=$(HOSTNAME)"}},
			image: Image{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
			want:  func(c *Container) { c.Argv = []string{"/agnhost", "netexec", "--host=web-0"} },
		},
		"command replaces the image's program and arguments": {
			ctr:   corev1.Container{Command: []string{"sh"}},
			image: Image{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}},
			want:  func(c *Container) { c.Argv = []string{"sh"} },
		},
		"user and groups of the container before the pod's": {
			ctr: corev1.Container{Command: []string{"sh"}, SecurityContext: &corev1.SecurityContext{RunAsUser: new(int64(7)), AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true)}},
			want: func(c *Container) {
				c.User, c.NoNewPrivs, c.ReadOnlyRoot = User{UID: 7, GID: 6, Groups: []int{8, 9}}, true, true
			},
		},
		"capabilities dropped and added": {
			ctr: corev1.Container{Command: []string{"sh"}, SecurityContext: &corev1.SecurityContext{Capabilities: &corev1.Capabilities{
				Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN", "CAP_CHOWN"}}}},
			want: func(c *Container) { c.Capabilities = []string{"NET_ADMIN", "CHOWN"} },
		},
		"all capabilities when privileged": {
			ctr:  corev1.Container{Command: []string{"sh"}, SecurityContext: &corev1.SecurityContext{Privileged: new(true)}},
			want: func(c *Container) { c.Capabilities = []string{AllCapabilities} },
		},
		"mounts below others after them, and views read-only": {
			ctr: corev1.Container{Command: []string{"sh"}, VolumeMounts: []corev1.VolumeMount{
				{Name: "conf", MountPath: "/data/conf"}, {Name: "work", MountPath: "/data", SubPathExpr: "of/$(HOSTNAME)"}}},
			want: func(c *Container) {
				c.Mounts = []Mount{{Volume: "work", SubPath: "of/web-0", Path: "/data"}, {Volume: "conf", Path: "/data/conf", ReadOnly: true}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod, src := example()
			pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(5)), RunAsGroup: new(int64(6)), SupplementalGroups: []int64{8}, FSGroup: new(int64(9))}
			pod.Spec.Volumes = []corev1.Volume{
				{Name: "work", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "conf", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}}},
			}
			got, err := Plan(pod, &test.ctr, test.image, src)
			if err != nil {
				t.Fatal(err)
			}
			got.Env = nil // has a test of its own
			want := Container{Argv: []string{"sh"}, User: User{UID: 5, GID: 6, Groups: []int{8, 9}}, Capabilities: defaultCapabilities}
			test.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanReportsAllProblemsAtOnce(t *testing.T) {
	pod, src := example()
	c := corev1.Container{
		Env: []corev1.EnvVar{
			{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}, Key: "k"}}},
			{Name: "Y", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "gone"}}},
		},
		VolumeMounts:    []corev1.VolumeMount{{Name: "nowhere", MountPath: "/x"}},
		SecurityContext: &corev1.SecurityContext{RunAsNonRoot: new(true)},
	}
	_, err := Plan(pod, &c, Image{}, src)
	for _, want := range []string{`configmap "gone" not found`, `secret "s" has no key "gone"`, "nowhere", "runAsNonRoot", "command and args are empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	pod, src := example()
	ref := func(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }
	fieldRef := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	c := &corev1.Container{
		Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m")}},
		EnvFrom:   []corev1.EnvFromSource{{Prefix: "CM_", ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("cm")}}, {SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("gone"), Optional: new(true)}}},
		Env: []corev1.EnvVar{
			{Name: "HOME", Value: "/home"},
			{Name: "NAME", ValueFrom: fieldRef("metadata.name")},
			{Name: "LABEL", ValueFrom: fieldRef("metadata.labels['a']")},
			{Name: "IPS", ValueFrom: fieldRef("status.podIPs")},
			{Name: "HOST", ValueFrom: fieldRef("status.hostIP")},
			{Name: "CPU", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
			{Name: "MILLI", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu", Divisor: resource.MustParse("1m")}}},
			{Name: "MEMORY", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
			{Name: "OPTIONAL", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("cm"), Key: "gone", Optional: new(true)}}},
			{Name: "SECRET", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("s"), Key: "password"}}},
			{Name: "ALL", Value: "$(NAME) at $(MY_DB_SERVICE_HOST)"},
		},
	}
	env, err := buildEnv(pod, c, src)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PATH=" + defaultPath, "HOSTNAME=web-0", "HOME=/home",
		"KUBERNETES_SERVICE_HOST=198.19.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
		"KUBERNETES_PORT=tcp://198.19.0.1:443", "KUBERNETES_PORT_443_TCP=tcp://198.19.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO=tcp",
		"KUBERNETES_PORT_443_TCP_PORT=443", "KUBERNETES_PORT_443_TCP_ADDR=198.19.0.1",
		"MY_DB_SERVICE_HOST=2001:db8:ffff::5", "MY_DB_SERVICE_PORT=53", "MY_DB_PORT=udp://[2001:db8:ffff::5]:53",
		"MY_DB_PORT_53_UDP=udp://[2001:db8:ffff::5]:53", "MY_DB_PORT_53_UDP_PROTO=udp", "MY_DB_PORT_53_UDP_PORT=53", "MY_DB_PORT_53_UDP_ADDR=2001:db8:ffff::5",
		"CM_k=v", "CM_l=w", "NAME=web-0", "LABEL=1", "IPS=198.18.17.2,2001:db8:0:1:1::2", "HOST=198.18.16.16",
		"CPU=2", "MILLI=1500", "MEMORY=1024", "SECRET=x", "ALL=web-0 at 2001:db8:ffff::5",
	}
	if diff := cmp.Diff(want, env.list()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	pod.Spec.EnableServiceLinks = new(false)
	if env, _ := buildEnv(pod, c, src); env.values["MY_DB_SERVICE_HOST"] != "" || env.values["KUBERNETES_SERVICE_HOST"] == "" {
		t.Error("without service links, the API server alone must be linked")
	}
}

func TestVolumes(t *testing.T) {
	pod, src := example()
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "empty", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "chosen", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: []corev1.KeyToPath{{Key: "k", Path: "sub/k", Mode: new(int32(0o400))}}}}},
		{Name: "maybe", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "gone", Optional: new(true)}}},
		{Name: "api", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(int32(0o640)), Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}},
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}},
		}}}},
	}
	got, err := Volumes(pod, src)
	if err != nil {
		t.Fatal(err)
	}
	want := []Volume{
		{Name: "empty"},
		{Name: "chosen", Files: map[string]File{"sub/k": {[]byte("v"), 0o400}}},
		{Name: "maybe", Files: map[string]File{}},
		{Name: "api", Files: map[string]File{
			"token": {[]byte("token"), 0o640}, "password": {[]byte("x"), fs.FileMode(0o640)}, "labels": {[]byte("a=\"1\"\nb=\"2\""), 0o640}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVolumesThatCannotBe(t *testing.T) {
	cm := func(v corev1.ConfigMapVolumeSource) corev1.VolumeSource { return corev1.VolumeSource{ConfigMap: &v} }
	for name, test := range map[string]struct {
		source corev1.VolumeSource
		want   string
	}{
		"a kind that there is not":    {corev1.VolumeSource{NFS: &corev1.NFSVolumeSource{}}, "emptyDir, configMap, secret"},
		"an object that is not there": {cm(corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}}), `configmap "gone" not found`},
		"a key that is not there":     {cm(corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: []corev1.KeyToPath{{Key: "gone", Path: "x"}}}), `no key "gone"`},
		"a path that leads out":       {cm(corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Items: []corev1.KeyToPath{{Key: "k", Path: "../x"}}}), "leaves the volume"},
		"a token that nobody issued":  {corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "a"}}}}}, `no token for audience "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			pod, src := example()
			pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: test.source}}
			if _, err := Volumes(pod, src); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestReferNamesEachObjectOnce(t *testing.T) {
	pod, _ := example()
	name := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	pod.Spec.Volumes = []corev1.Volume{
		{VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: name("cm")}}},
		{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: name("cm")}},
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}},
		}}}},
	}
	env := []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: name("s")}}}
	pod.Spec.InitContainers, pod.Spec.Containers = []corev1.Container{{EnvFrom: env}}, []corev1.Container{{EnvFrom: env}}
	want := References{ConfigMaps: []string{"cm"}, Secrets: []string{"s"}, Tokens: []TokenKey{{"", 3600}}}
	if diff := cmp.Diff(want, Refer(pod)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestResolvConf(t *testing.T) {
	full := "nameserver 198.19.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	plain := "nameserver 198.19.0.10\n"
	for name, test := range map[string]struct {
		policy corev1.DNSPolicy
		host   bool
		config *corev1.PodDNSConfig
		want   string
	}{
		"cluster first":                            {policy: corev1.DNSClusterFirst, want: full},
		"cluster first on the node's network":      {policy: corev1.DNSClusterFirst, host: true, want: plain},
		"cluster first with the node's network":    {policy: corev1.DNSClusterFirstWithHostNet, host: true, want: full},
		"default asks the cluster, without search": {policy: corev1.DNSDefault, want: plain},
		"none is what the pod says": {policy: corev1.DNSNone, want: "nameserver 192.0.2.1\nsearch a b\noptions ndots:2 rotate\n",
			config: &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}, Searches: []string{"a", "b", "a"}, Options: []corev1.PodDNSConfigOption{{Name: "rotate"}, {Name: "ndots", Value: new("2")}}}},
	} {
		t.Run(name, func(t *testing.T) {
			pod, src := example()
			pod.Spec.DNSPolicy, pod.Spec.HostNetwork, pod.Spec.DNSConfig = test.policy, test.host, test.config
			if diff := cmp.Diff(test.want, ResolvConf(pod, src)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostsAndHostname(t *testing.T) {
	pod, src := example()
	pod.Spec.Hostname, pod.Spec.Subdomain = "db-0", "db"
	pod.Spec.HostAliases = []corev1.HostAlias{{IP: "192.0.2.9", Hostnames: []string{"a", "b"}}}
	want := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"198.18.17.2\tdb-0.db.shop.svc.cluster.local\tdb-0\n2001:db8:0:1:1::2\tdb-0.db.shop.svc.cluster.local\tdb-0\n192.0.2.9\ta\tb\n"
	if diff := cmp.Diff(want, Hosts(pod, src)); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	long := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: strings.Repeat("a", 62) + "-bcd"}}
	if got := Hostname(long, "node-1"); got != strings.Repeat("a", 62) {
		t.Errorf("host name of a long pod name is %q, want it cut at a letter", got)
	}
}

func TestRefuseNamesEverythingAtOnce(t *testing.T) {
	pod, _ := example()
	if err := Refuse(pod); err != nil {
		t.Errorf("an ordinary pod is refused: %v", err)
	}
	pod.Spec.HostPID, pod.Spec.ShareProcessNamespace, pod.Spec.RuntimeClassName = true, new(true), new("x")
	pod.Spec.Containers = []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{HostPort: 80}}}}
	err := Refuse(pod)
	for _, want := range []string{"hostPID", "shareProcessNamespace", "runtimeClassName", "hostPort 80"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	pod, _ = example()
	pod.Spec.HostNetwork = true
	pod.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}}}
	if err := Refuse(pod); err != nil {
		t.Errorf("a port of the node's own network is refused: %v", err)
	}
}
