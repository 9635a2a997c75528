package nodeagent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podplan"
)

// fetchSources reads everything that the pod refers to. Config maps and secrets
// that do not exist are left out: whether that is an error is the plan's to say.
func (w *worker) fetchSources(ctx context.Context) (podplan.Sources, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	cfg := w.a.cfg
	services, err := w.a.services.List(labels.Everything())
	if err != nil {
		return podplan.Sources{}, err
	}
	src := podplan.Sources{
		NodeName: cfg.NodeName, HostIPs: cfg.NodeIPs, Allocatable: w.a.allocatable,
		ClusterDNS: cfg.ClusterDNS, ClusterDomain: cfg.ClusterDomain, Services: services,
		ConfigMaps: map[string]*corev1.ConfigMap{}, Secrets: map[string]*corev1.Secret{},
	}
	refs := podplan.Refer(w.pod)
	var errs []error
	for _, name := range refs.ConfigMaps {
		cm, err := w.a.client.CoreV1().ConfigMaps(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		errs = append(errs, keepFound(src.ConfigMaps, name, cm, err))
	}
	for _, name := range refs.Secrets {
		secret, err := w.a.client.CoreV1().Secrets(w.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		errs = append(errs, keepFound(src.Secrets, name, secret, err))
	}
	for _, key := range refs.Tokens {
		errs = append(errs, w.fetchToken(ctx, key))
	}
	src.Tokens = w.tokens.texts()
	return src, errors.Join(errs...)
}

func keepFound[T any](into map[string]T, name string, object T, err error) error {
	if err == nil {
		into[name] = object
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// tokenCache holds the tokens of one pod.
type tokenCache map[podplan.TokenKey]issuedToken

type issuedToken struct {
	text    string
	renewAt time.Time
}

func (c tokenCache) texts() map[podplan.TokenKey]string {
	out := map[podplan.TokenKey]string{}
	for k, t := range c {
		out[k] = t.text
	}
	return out
}

// fetchToken makes sure of a token that has a fifth of its life before it.
func (w *worker) fetchToken(ctx context.Context, key podplan.TokenKey) error {
	now := time.Now()
	if t, ok := w.tokens[key]; ok && now.Before(t.renewAt) {
		return nil
	}
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &key.ExpirationSeconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: w.pod.Name, UID: w.pod.UID},
	}}
	if key.Audience != "" {
		req.Spec.Audiences = []string{key.Audience}
	}
	name := w.pod.Spec.ServiceAccountName
	got, err := w.a.client.CoreV1().ServiceAccounts(w.pod.Namespace).CreateToken(ctx, name, req, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("request a token of service account %s: %w", name, err)
	}
	life := got.Status.ExpirationTimestamp.Sub(now)
	tokens := maps.Clone(w.tokens)
	if tokens == nil {
		tokens = tokenCache{}
	}
	tokens[key] = issuedToken{text: got.Status.Token, renewAt: now.Add(life * 4 / 5)}
	w.tokens = tokens
	return nil
}
