package podplan

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// Volume is what a volume's directory holds.
type Volume struct {
	Name  string
	Files map[string]File // nil for an emptyDir: its content is the containers'
	Group *int64          // fsGroup: owner of the directory, and with it of new files
}

// File is one file of a volume.
type File struct {
	Data []byte
	Mode fs.FileMode
}

// Volumes computes the content of a pod's volumes. It returns all problems at
// once: kinds that the lab does not have, and objects that are missing.
func Volumes(pod *corev1.Pod, src Sources) ([]Volume, error) {
	var out []Volume
	var errs []error
	for _, v := range pod.Spec.Volumes {
		files, err := volumeFiles(pod, v, src)
		if err != nil {
			errs = append(errs, fmt.Errorf("volume %s: %w", v.Name, err))
			continue
		}
		vol := Volume{Name: v.Name, Files: files}
		if pod.Spec.SecurityContext != nil {
			vol.Group = pod.Spec.SecurityContext.FSGroup
		}
		out = append(out, vol)
	}
	return out, errors.Join(errs...)
}

func volumeFiles(pod *corev1.Pod, v corev1.Volume, src Sources) (map[string]File, error) {
	b := builder{pod: pod, src: src, files: map[string]File{}}
	switch {
	case v.EmptyDir != nil:
		return nil, nil
	case v.ConfigMap != nil:
		m := v.ConfigMap
		b.mode = value(m.DefaultMode, corev1.ConfigMapVolumeSourceDefaultMode)
		return b.files, b.configMap(m.Name, m.Items, isTrue(m.Optional))
	case v.Secret != nil:
		m := v.Secret
		b.mode = value(m.DefaultMode, corev1.SecretVolumeSourceDefaultMode)
		return b.files, b.secret(m.SecretName, m.Items, isTrue(m.Optional))
	case v.DownwardAPI != nil:
		b.mode = value(v.DownwardAPI.DefaultMode, corev1.DownwardAPIVolumeSourceDefaultMode)
		return b.files, b.downward(v.DownwardAPI.Items)
	case v.Projected != nil:
		b.mode = value(v.Projected.DefaultMode, corev1.ProjectedVolumeSourceDefaultMode)
		return b.files, b.projected(v.Projected.Sources)
	}
	return nil, errors.New("the lab has volumes of kind emptyDir, configMap, secret, downwardAPI and projected, and no other")
}

// builder fills the files of one volume.
type builder struct {
	pod   *corev1.Pod
	src   Sources
	mode  int32
	files map[string]File
}

func (b *builder) put(path string, data []byte, mode *int32) error {
	if !filepath.IsLocal(path) {
		return fmt.Errorf("path %q leaves the volume", path)
	}
	b.files[filepath.Clean(path)] = File{Data: data, Mode: fs.FileMode(value(mode, b.mode)) & fs.ModePerm}
	return nil
}

func (b *builder) configMap(name string, items []corev1.KeyToPath, optional bool) error {
	return b.keys(object{"configmap", name, b.src.configMapKeys(name), optional}, items)
}

func (b *builder) secret(name string, items []corev1.KeyToPath, optional bool) error {
	return b.keys(object{"secret", name, b.src.secretKeys(name), optional}, items)
}

// object is a config map or secret; keys is nil when it does not exist.
type object struct {
	kind, name string
	keys       map[string][]byte
	optional   bool
}

// keys writes all keys of an object, or the chosen ones to their paths.
func (b *builder) keys(o object, items []corev1.KeyToPath) error {
	if o.keys == nil && !o.optional {
		return fmt.Errorf("%s %q not found", o.kind, o.name)
	}
	var errs []error
	if len(items) == 0 {
		for k := range maps.Keys(o.keys) {
			errs = append(errs, b.put(k, o.keys[k], nil))
		}
	}
	for _, it := range items {
		data, ok := o.keys[it.Key]
		if ok {
			errs = append(errs, b.put(it.Path, data, it.Mode))
		} else if !o.optional {
			errs = append(errs, fmt.Errorf("%s %q has no key %q", o.kind, o.name, it.Key))
		}
	}
	return errors.Join(errs...)
}

func (b *builder) downward(items []corev1.DownwardAPIVolumeFile) error {
	var errs []error
	for _, it := range items {
		text, err := b.downwardItem(it)
		if err == nil {
			err = b.put(it.Path, []byte(text), it.Mode)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (b *builder) downwardItem(it corev1.DownwardAPIVolumeFile) (string, error) {
	if it.FieldRef != nil {
		return field(b.pod, b.src, it.FieldRef.FieldPath)
	}
	if it.ResourceFieldRef == nil {
		return "", fmt.Errorf("downwardAPI item %q has neither fieldRef nor resourceFieldRef", it.Path)
	}
	for _, c := range containers(b.pod) {
		if c.Name == it.ResourceFieldRef.ContainerName {
			return resourceField(&c, b.src, it.ResourceFieldRef)
		}
	}
	return "", fmt.Errorf("downwardAPI item %q: the pod has no container %q", it.Path, it.ResourceFieldRef.ContainerName)
}

func (b *builder) projected(sources []corev1.VolumeProjection) error {
	var errs []error
	for _, s := range sources {
		errs = append(errs, b.projection(s))
	}
	return errors.Join(errs...)
}

func (b *builder) projection(s corev1.VolumeProjection) error {
	switch {
	case s.ConfigMap != nil:
		return b.configMap(s.ConfigMap.Name, s.ConfigMap.Items, isTrue(s.ConfigMap.Optional))
	case s.Secret != nil:
		return b.secret(s.Secret.Name, s.Secret.Items, isTrue(s.Secret.Optional))
	case s.DownwardAPI != nil:
		return b.downward(s.DownwardAPI.Items)
	case s.ServiceAccountToken != nil:
		token, ok := b.src.Tokens[tokenKey(s.ServiceAccountToken)]
		if !ok {
			return fmt.Errorf("no token for audience %q was issued", s.ServiceAccountToken.Audience)
		}
		return b.put(s.ServiceAccountToken.Path, []byte(token), nil)
	}
	return errors.New("the lab projects configMap, secret, downwardAPI and serviceAccountToken, and no other source")
}
