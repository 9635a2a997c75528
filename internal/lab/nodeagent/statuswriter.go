package nodeagent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"github.com/fairlead-lb/fairlead/internal/lab/nodeagent/podstate"
)

// statusWriter brings the status of one pod to the API server: always the
// newest, until it is there.
type statusWriter struct {
	a         *agent
	namespace string
	name      string
	uid       types.UID
	fresh     chan struct{} // capacity 1: want has something new
	left      chan struct{} // closed when the API server has the pod no more
	leave     sync.Once

	mu   sync.Mutex // guards want
	want *corev1.PodStatus
}

func newStatusWriter(a *agent, pod *corev1.Pod) *statusWriter {
	return &statusWriter{a: a, namespace: pod.Namespace, name: pod.Name, uid: pod.UID, fresh: make(chan struct{}, 1), left: make(chan struct{})}
}

// abandon ends all attempts: nobody has a status to write to any more. To ask the
// API server does not tell: it answers a node about a pod that is not there as
// about another node's.
func (s *statusWriter) abandon() { s.leave.Do(func() { close(s.left) }) }

// put replaces the status to write. It never blocks.
func (s *statusWriter) put(st corev1.PodStatus) {
	s.mu.Lock()
	changed := s.want == nil || !equality.Semantic.DeepEqual(*s.want, st)
	s.want = &st
	s.mu.Unlock()
	if !changed {
		return
	}
	select {
	case s.fresh <- struct{}{}:
	default:
	}
}

func (s *statusWriter) latest() corev1.PodStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.want
}

// Delays between attempts at one write.
const (
	writeRetry    = 200 * time.Millisecond
	maxWriteRetry = 10 * time.Second
)

// run writes until ctx ends.
func (s *statusWriter) run(ctx context.Context) {
	for {
		select {
		case <-s.fresh:
		case <-s.left:
			return
		case <-ctx.Done():
			return
		}
		s.retry(ctx, s.write)
	}
}

// retry repeats a call until it succeeds, the pod is gone or ctx ends. A first
// failure is no news: the pod may just be going.
func (s *statusWriter) retry(ctx context.Context, call func(context.Context) error) {
	for delay := writeRetry; ; delay = min(2*delay, maxWriteRetry) {
		bounded, cancel := context.WithTimeout(ctx, requestTimeout)
		err := call(bounded)
		cancel()
		if err == nil || gone(err) || ctx.Err() != nil {
			return
		}
		if delay > writeRetry {
			s.a.log.Warn("pod not brought up to date", "pod", s.namespace+"/"+s.name, "error", err)
		}
		select {
		case <-time.After(delay):
		case <-s.left:
			return
		case <-ctx.Done():
			return
		}
	}
}

// gone recognises that the pod, or the one of that name with its UID, is not
// there any more.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// write patches the difference between what the API server has and the status
// as it should be.
func (s *statusWriter) write(ctx context.Context) error {
	pods := s.a.client.CoreV1().Pods(s.namespace)
	have, err := pods.Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if have.UID != s.uid {
		return apierrors.NewNotFound(corev1.Resource("pods"), s.name)
	}
	patch, err := statusPatch(have, podstate.Merge(have.Status, s.latest()))
	if err != nil || patch == nil {
		return err
	}
	_, err = pods.Patch(ctx, s.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// statusPatch is nil when there is no difference. It carries the UID, so that
// it cannot hit another pod of the name.
func statusPatch(have *corev1.Pod, want corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: have.Status})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(corev1.Pod{Status: want})
	if err != nil {
		return nil, err
	}
	if string(before) == string(after) {
		return nil, nil
	}
	after, err = json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: have.UID}, Status: want})
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
	if err != nil {
		return nil, fmt.Errorf("compute status patch: %w", err)
	}
	return patch, nil
}

// final writes the last status and removes the pod from the API server. run
// must have ended.
func (s *statusWriter) final(ctx context.Context) error {
	s.retry(ctx, s.write)
	now, uid := int64(0), s.uid
	var last error
	s.retry(ctx, func(ctx context.Context) error {
		last = s.a.client.CoreV1().Pods(s.namespace).Delete(ctx, s.name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid},
		})
		return last
	})
	if gone(last) {
		return nil
	}
	return last
}
