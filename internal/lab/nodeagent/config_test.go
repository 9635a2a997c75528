package nodeagent

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func validConfig() Config {
	return Config{
		NodeName: "node-1", ProviderID: "aws:///us-west-2a/i-0123456789abcdef0", Region: "us-west-2", Zone: "us-west-2a",
		NodeIPs:  []netip.Addr{netip.MustParseAddr("198.18.16.16"), netip.MustParseAddr("2001:db8:0:1::10")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("198.18.17.0/24"), netip.MustParsePrefix("2001:db8:0:1:1::/80")},
		Uplink:   "eth0", Kubeconfig: "k", ClientCAFile: "ca", ServingCertFile: "crt", ServingKeyFile: "key",
		ClusterDomain: "cluster.local", KubeBinary: "kube", LabBinary: "lab", StateDir: "/state",
		KubeletListen: netip.MustParseAddrPort("[::]:10250"),
	}
}

func TestValidate(t *testing.T) {
	if err := validConfig().Validate(); err != nil {
		t.Errorf("a valid configuration is refused: %v", err)
	}
	err := Config{StateDir: "rel", ProviderID: "i-1"}.Validate()
	for _, want := range []string{"--node-name", "--kubeconfig", "--uplink", `--state-dir "rel" is relative`, `--provider-id "i-1"`, "--node-ip is empty", "--pod-cidr is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
	c := validConfig()
	c.NodeIPs = []netip.Addr{netip.MustParseAddr("198.18.16.16"), netip.MustParseAddr("198.18.16.17")}
	c.PodCIDRs = append(c.PodCIDRs, c.PodCIDRs[0])
	err = c.Validate()
	for _, want := range []string{"--node-ip 198.18.16.17 is the second", "--pod-cidr 2001:db8:0:1:1::/80 has no --node-ip", "--pod-cidr 198.18.17.0/24 is the second"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

func TestNodeObjectSaysWhatTheCloudWould(t *testing.T) {
	n := nodeObject(validConfig(), corev1.ResourceList{}, time.Unix(1, 0))
	wantLabels := map[string]string{
		"kubernetes.io/hostname": "node-1", "topology.kubernetes.io/zone": "us-west-2a", "topology.kubernetes.io/region": "us-west-2",
		"kubernetes.io/os": "linux", "kubernetes.io/arch": n.Labels["kubernetes.io/arch"],
	}
	if diff := cmp.Diff(wantLabels, n.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	wantAddresses := []corev1.NodeAddress{{Type: "InternalIP", Address: "198.18.16.16"}, {Type: "InternalIP", Address: "2001:db8:0:1::10"}, {Type: "Hostname", Address: "node-1"}}
	if diff := cmp.Diff(wantAddresses, n.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if n.Spec.ProviderID != "aws:///us-west-2a/i-0123456789abcdef0" || len(n.Spec.PodCIDRs) != 2 || n.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 {
		t.Errorf("spec %+v, endpoints %+v", n.Spec, n.Status.DaemonEndpoints)
	}
}

func TestNodeConditionsOfOthersStay(t *testing.T) {
	at := func(s int64) metav1.Time { return metav1.NewTime(time.Unix(s, 0)) }
	have := []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionUnknown, LastTransitionTime: at(1)},
		{Type: "Other", Status: corev1.ConditionTrue},
	}
	own := []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: at(9)},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, LastTransitionTime: at(9)},
	}
	want := []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: at(1)},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, LastTransitionTime: at(9)},
		{Type: "Other", Status: corev1.ConditionTrue},
	}
	if diff := cmp.Diff(want, mergeConditions(have, own)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStatusPatchIsTheDifference(t *testing.T) {
	have := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}, Status: corev1.PodStatus{Phase: corev1.PodPending, PodIP: "192.0.2.1"}}
	if got, err := statusPatch(have, have.Status); got != nil || err != nil {
		t.Errorf("without a difference: %s, error %v", got, err)
	}
	want := have.Status
	want.Phase = corev1.PodRunning
	patch, err := statusPatch(have, want)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(patch, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"metadata": map[string]any{"uid": "u"}, "status": map[string]any{"phase": "Running"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
