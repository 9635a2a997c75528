package podplan

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// defaultPath is PATH where a container sets none: the lab's programs, then
// the host's.
const defaultPath = BinDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is a list of variables where a later value replaces an earlier.
type environment struct {
	names  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if e.values == nil {
		e.values = map[string]string{}
	}
	if _, ok := e.values[name]; !ok {
		e.names = append(e.names, name)
	}
	e.values[name] = value
}

func (e *environment) lookup(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

func (e *environment) list() []string {
	out := make([]string, 0, len(e.names))
	for _, n := range e.names {
		out = append(out, n+"="+e.values[n])
	}
	return out
}

// buildEnv collects a container's variables: the image's, those of Services,
// envFrom, env, the later over the earlier. All problems are returned at once.
func buildEnv(pod *corev1.Pod, c *corev1.Container, src Sources) (*environment, error) {
	env := &environment{}
	env.set("PATH", defaultPath)
	env.set("HOSTNAME", Hostname(pod, src.NodeName))
	env.set("HOME", "/root")
	if c.TTY {
		env.set("TERM", "xterm")
	}
	for _, v := range serviceLinks(pod, src.Services) {
		env.set(v.Name, v.Value)
	}
	var errs []error
	for _, from := range c.EnvFrom {
		errs = append(errs, envFrom(env, from, src))
	}
	for _, v := range c.Env {
		value, found, err := envValue(pod, c, v, envLookup{env, src})
		if err != nil {
			errs = append(errs, fmt.Errorf("env %s: %w", v.Name, err))
		} else if found {
			env.set(v.Name, value)
		}
	}
	return env, errors.Join(errs...)
}

type envLookup struct {
	env *environment
	src Sources
}

// envValue computes one variable. found is false when an optional reference
// leads nowhere: then the variable is not set at all.
func envValue(pod *corev1.Pod, c *corev1.Container, v corev1.EnvVar, in envLookup) (value string, found bool, err error) {
	from := v.ValueFrom
	switch {
	case from == nil:
		return expand(v.Value, in.env.lookup), true, nil
	case from.FieldRef != nil:
		value, err = field(pod, in.src, from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = resourceField(c, in.src, from.ResourceFieldRef)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		return object{"configmap", ref.Name, in.src.configMapKeys(ref.Name), isTrue(ref.Optional)}.value(ref.Key)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		return object{"secret", ref.Name, in.src.secretKeys(ref.Name), isTrue(ref.Optional)}.value(ref.Key)
	}
	return "", false, errors.New("the lab knows valueFrom with fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef")
}

// value returns what an object has under a key.
func (o object) value(key string) (string, bool, error) {
	v, ok := o.keys[key]
	switch {
	case ok:
		return string(v), true, nil
	case o.optional:
		return "", false, nil
	case o.keys == nil:
		return "", false, fmt.Errorf("%s %q not found", o.kind, o.name)
	}
	return "", false, fmt.Errorf("%s %q has no key %q", o.kind, o.name, key)
}

func envFrom(env *environment, from corev1.EnvFromSource, src Sources) error {
	var keys map[string][]byte
	var what string
	var optional bool
	switch {
	case from.ConfigMapRef != nil:
		what, optional = "configmap "+from.ConfigMapRef.Name, isTrue(from.ConfigMapRef.Optional)
		keys = src.configMapKeys(from.ConfigMapRef.Name)
	case from.SecretRef != nil:
		what, optional = "secret "+from.SecretRef.Name, isTrue(from.SecretRef.Optional)
		keys = src.secretKeys(from.SecretRef.Name)
	}
	if keys == nil && !optional {
		return fmt.Errorf("envFrom: %s not found", what)
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		env.set(from.Prefix+k, string(keys[k]))
	}
	return nil
}

// configMapKeys returns the contents of a config map, nil when there is none.
func (s Sources) configMapKeys(name string) map[string][]byte {
	cm := s.ConfigMaps[name]
	if cm == nil {
		return nil
	}
	keys := map[string][]byte{}
	maps.Copy(keys, cm.BinaryData)
	for k, v := range cm.Data {
		keys[k] = []byte(v)
	}
	return keys
}

// secretKeys returns the contents of a secret, nil when there is none.
func (s Sources) secretKeys(name string) map[string][]byte {
	secret := s.Secrets[name]
	if secret == nil {
		return nil
	}
	keys := map[string][]byte{}
	maps.Copy(keys, secret.Data)
	return keys
}

func isTrue(b *bool) bool { return b != nil && *b }
