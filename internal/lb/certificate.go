package lb

// Certificate is a certificate that listeners serve, with its key. It goes to
// the edges of zones that have such a listener and nowhere else.
type Certificate struct {
	ARN        string     `json:"arn"`
	Chain      string     `json:"chain"` // PEM, the leaf first
	PrivateKey PrivateKey `json:"privateKey,omitempty"`
}

// PrivateKey is a private key as PKCS #8 in DER. What prints it prints nothing
// of it, but for encoding/json, which is how it travels.
type PrivateKey []byte

const redacted = "(private key)"

// String implements fmt.Stringer.
func (PrivateKey) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (PrivateKey) GoString() string { return redacted }
