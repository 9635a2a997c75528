package cloud

import (
	"context"
	"slices"
)

// BatchSize is how many names ELBv2 takes in one describe call.
const BatchSize = 20

// Existing describes names in as few calls as it can. AWS fails a whole call
// when one of its names does not exist, so a call that fails with NotFound is
// cut in halves until what is missing stands alone.
func Existing[T any](ctx context.Context, names []string, describe func(context.Context, []string) ([]T, error)) ([]T, error) {
	var out []T
	for batch := range slices.Chunk(names, BatchSize) {
		found, err := bisect(ctx, batch, describe)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func bisect[T any](ctx context.Context, names []string, describe func(context.Context, []string) ([]T, error)) ([]T, error) {
	found, err := describe(ctx, names)
	if !Is(err, NotFound) {
		return found, err
	}
	if len(names) == 1 {
		return nil, nil
	}
	left, err := bisect(ctx, names[:len(names)/2], describe)
	if err != nil {
		return nil, err
	}
	right, err := bisect(ctx, names[len(names)/2:], describe)
	if err != nil {
		return nil, err
	}
	return append(left, right...), nil
}
