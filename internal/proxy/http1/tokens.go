package http1

// tchar is RFC 9110's: what field names and methods are made of.
var tchar = charset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

// hostChar is what a Host may be made of (RFC 3986: reg-name, IP-literal, port).
var hostChar = charset("!$&'()*+,;=-._~%:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

func charset(s string) (set [256]bool) {
	for _, c := range []byte(s) {
		set[c] = true
	}
	return set
}

func madeOf(set *[256]bool, b []byte) bool {
	for _, c := range b {
		if !set[c] {
			return false
		}
	}
	return true
}

func isToken(b []byte) bool { return len(b) > 0 && madeOf(&tchar, b) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// equalFold compares with a name in lower case; ASCII only, as in HTTP.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range b {
		if lower(b[i]) != name[i] {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// trim removes optional white space around b.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// nextElement cuts the first element off a comma-separated list.
func nextElement(list []byte) (element, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

// maxDigits keeps a Content-Length within an int64.
const maxDigits = 18

// parseLength reads a Content-Length: digits only, no sign, no space.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > maxDigits {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
