package edgeapi

import "encoding/json"

// jsonCodec encodes messages as JSON. It is forced on each call and on the
// server, never registered, so that it cannot change another user of gRPC in
// the process.
type jsonCodec struct{}

func (jsonCodec) Name() string                       { return "json" }
func (jsonCodec) Marshal(v any) ([]byte, error)      { return json.Marshal(v) }
func (jsonCodec) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }
