package wire

import (
	"fmt"
	"net/http"
)

// Error is an error as AWS answers it. Code is what clients branch on; it is
// the query protocol's spelling and is translated where EC2 or JSON services
// spell the same failure differently (AccessDenied is UnauthorizedOperation in
// EC2 and AccessDeniedException in JSON).
type Error struct {
	Code    string
	Message string
	Status  int // HTTP status
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf returns an error with the HTTP status that AWS uses for the code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Status: statusOf(code)}
}

// ValidationErrorf returns a ValidationError: a parameter does not fit.
func ValidationErrorf(format string, args ...any) *Error {
	return Errorf("ValidationError", format, args...)
}

// AccessDeniedf returns the error for a caller whose policies do not allow an
// action.
func AccessDeniedf(format string, args ...any) *Error {
	return Errorf(codeAccessDenied, format, args...)
}

// Codes that exist in all protocols, in the query protocol's spelling.
const (
	codeAccessDenied     = "AccessDenied"
	codeMissingToken     = "MissingAuthenticationToken"
	codeIncomplete       = "IncompleteSignature"
	codeUnknownKey       = "InvalidClientTokenId"
	codeExpired          = "ExpiredToken"
	codeBadSignature     = "SignatureDoesNotMatch"
	codeMalformed        = "MalformedInput"
	codeMalformedQuery   = "MalformedQueryString"
	codeInvalidAction    = "InvalidAction"
	codeMissingAction    = "MissingAction"
	codeUnknownOperation = "UnknownOperation"
	codeTooLarge         = "RequestEntityTooLarge"
	codeInternal         = "InternalFailure"
)

// statusOf is the HTTP status of a code, from the common errors of the ELB and
// EC2 API references and the error shapes of the ELBv2 model.
func statusOf(code string) int {
	switch code {
	case codeAccessDenied, codeMissingToken, codeUnknownKey, codeBadSignature,
		codeExpired, "OptInRequired", "UnauthorizedOperation":
		return http.StatusForbidden
	case "AuthFailure":
		return http.StatusUnauthorized
	case codeMalformedQuery:
		return http.StatusNotFound
	case "RequestTimeout":
		return http.StatusRequestTimeout
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case "PriorRequestNotComplete":
		return http.StatusTooManyRequests
	case codeInternal, "InternalError", "HealthUnavailable", "InsufficientCapacity":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "RequestLimitExceeded", "Unavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}
