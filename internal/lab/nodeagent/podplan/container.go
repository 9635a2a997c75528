package podplan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Container is what one container's process is started with.
type Container struct {
	Argv         []string
	Env          []string // NAME=value
	Dir          string
	Mounts       []Mount
	User         User
	Capabilities []string // without CAP_; those that the process may have
	NoNewPrivs   bool
	ReadOnlyRoot bool
}

// Mount puts a volume of the pod, or a path inside it, into a container.
type Mount struct {
	Volume   string
	SubPath  string // inside the volume; empty for the whole
	Path     string // inside the container
	ReadOnly bool
}

// User is whom a container's process runs as.
type User struct {
	UID    int
	GID    int
	Groups []int
}

// defaultCapabilities is what container runtimes leave to a container's root,
// less MKNOD: no device filter stands behind it here.
var defaultCapabilities = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL",
	"NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// AllCapabilities stands for every capability in [Container.Capabilities].
const AllCapabilities = "ALL"

// Plan computes a container's process. It returns all problems at once.
func Plan(pod *corev1.Pod, c *corev1.Container, image Image, src Sources) (Container, error) {
	env, envErr := buildEnv(pod, c, src)
	user, userErr := userOf(pod, c)
	mounts, mountErr := mountsOf(pod, c, env)
	argv := argvOf(c, image, env)
	var argvErr error
	if len(argv) == 0 {
		argvErr = errors.New("command and args are empty, and the image has none")
	}
	if err := errors.Join(envErr, userErr, mountErr, argvErr); err != nil {
		return Container{}, err
	}
	sc := securityOf(c)
	return Container{
		Argv:         argv,
		Env:          env.list(),
		Dir:          c.WorkingDir,
		Mounts:       mounts,
		User:         user,
		Capabilities: capabilities(sc),
		NoNewPrivs:   sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation,
		ReadOnlyRoot: isTrue(sc.ReadOnlyRootFilesystem),
	}, nil
}

func securityOf(c *corev1.Container) corev1.SecurityContext {
	if c.SecurityContext == nil {
		return corev1.SecurityContext{}
	}
	return *c.SecurityContext
}

// argvOf applies Kubernetes' rule: command replaces the image's entry point and
// its arguments, args alone replaces the arguments.
func argvOf(c *corev1.Container, image Image, env *environment) []string {
	entry, cmd := image.Entrypoint, image.Cmd
	if len(c.Command) > 0 {
		entry, cmd = expandAll(c.Command, env.lookup), nil
	}
	if len(c.Args) > 0 {
		cmd = expandAll(c.Args, env.lookup)
	}
	return slices.Concat(entry, cmd)
}

func userOf(pod *corev1.Pod, c *corev1.Container) (User, error) {
	sc := securityOf(c)
	var psc corev1.PodSecurityContext
	if pod.Spec.SecurityContext != nil {
		psc = *pod.Spec.SecurityContext
	}
	u := User{
		UID: int(value(sc.RunAsUser, value(psc.RunAsUser, 0))),
		GID: int(value(sc.RunAsGroup, value(psc.RunAsGroup, 0))),
	}
	for _, g := range psc.SupplementalGroups {
		u.Groups = append(u.Groups, int(g))
	}
	if psc.FSGroup != nil {
		u.Groups = append(u.Groups, int(*psc.FSGroup))
	}
	nonRoot := isTrue(psc.RunAsNonRoot)
	if sc.RunAsNonRoot != nil {
		nonRoot = *sc.RunAsNonRoot
	}
	if nonRoot && u.UID == 0 {
		return u, errors.New("container has runAsNonRoot and image will run as root; set runAsUser")
	}
	return u, nil
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func capabilities(sc corev1.SecurityContext) []string {
	if isTrue(sc.Privileged) {
		return []string{AllCapabilities}
	}
	caps := slices.Clone(defaultCapabilities)
	if sc.Capabilities == nil {
		return caps
	}
	for _, d := range sc.Capabilities.Drop {
		if d == AllCapabilities {
			caps = nil
		}
		caps = slices.DeleteFunc(caps, func(c string) bool { return c == capability(d) })
	}
	for _, a := range sc.Capabilities.Add {
		caps = appendOnce(caps, capability(a))
	}
	return caps
}

func capability(c corev1.Capability) string {
	return strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
}

func mountsOf(pod *corev1.Pod, c *corev1.Container, env *environment) ([]Mount, error) {
	var out []Mount
	var errs []error
	for _, m := range c.VolumeMounts {
		sub := m.SubPath
		if m.SubPathExpr != "" {
			sub = expand(m.SubPathExpr, env.lookup)
		}
		v := volumeNamed(pod, m.Name)
		if v == nil {
			errs = append(errs, fmt.Errorf("volumeMount %s: the pod has no such volume", m.Name))
			continue
		}
		// Only emptyDir can be written; the API's other kinds are views of objects.
		out = append(out, Mount{Volume: m.Name, SubPath: sub, Path: m.MountPath, ReadOnly: m.ReadOnly || v.EmptyDir == nil})
	}
	// A mount below another must come after it.
	slices.SortStableFunc(out, func(a, b Mount) int { return strings.Compare(a.Path, b.Path) })
	return out, errors.Join(errs...)
}

func volumeNamed(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}
