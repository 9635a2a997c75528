package inventory

import (
	"errors"
	"fmt"

	"sigs.k8s.io/yaml"
)

// Parse reads a File in YAML or JSON. It refuses unknown fields, duplicate keys
// and whatever Validate refuses.
func Parse(data []byte) (File, error) {
	var f File
	if err := yaml.UnmarshalStrict(data, &f); err != nil {
		return File{}, fmt.Errorf("parse the inventory: %w", err)
	}
	if problems := f.Validate(); len(problems) > 0 {
		return File{}, fmt.Errorf("mistakes in the inventory:\n%w", errors.Join(problems...))
	}
	return f, nil
}
