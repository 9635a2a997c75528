package wire

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// protocol is how a service writes errors.
type protocol struct {
	contentType string
	translate   func(*Error) *Error // into the protocol's own spelling
	encode      func(e *Error, namespace, requestID string) []byte
}

var (
	queryProtocol = protocol{"text/xml", func(e *Error) *Error { return e }, queryError}
	ec2Protocol   = protocol{"text/xml;charset=UTF-8", ec2Spelling, ec2Error}
	jsonProtocol  = protocol{"application/x-amz-json-1.1", jsonSpelling, jsonError}
)

// protocolOf tells the protocol of a service before its API is known, so that
// the error for an unknown one can be read by the client.
func protocolOf(service string, h http.Header) protocol {
	switch {
	case h.Get("X-Amz-Target") != "":
		return jsonProtocol
	case service == "ec2":
		return ec2Protocol
	}
	return queryProtocol
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func queryError(e *Error, namespace, requestID string) []byte {
	x := encoder{buf: new(bytes.Buffer)}
	x.buf.WriteString("<ErrorResponse")
	if namespace != "" {
		x.buf.WriteString(` xmlns="` + namespace + `"`)
	}
	x.buf.WriteString("><Error><Type>" + faultOf(e) + "</Type>")
	x.codeAndMessage(e)
	x.buf.WriteString("</Error><RequestId>" + requestID + "</RequestId></ErrorResponse>")
	return x.buf.Bytes()
}

func ec2Error(e *Error, _, requestID string) []byte {
	x := encoder{buf: new(bytes.Buffer)}
	x.buf.WriteString(xmlHeader + "<Response><Errors><Error>")
	x.codeAndMessage(e)
	x.buf.WriteString("</Error></Errors><RequestID>" + requestID + "</RequestID></Response>")
	return x.buf.Bytes()
}

func (e encoder) codeAndMessage(err *Error) {
	e.open("Code")
	e.text(err.Code)
	e.close("Code")
	e.open("Message")
	e.text(err.Message)
	e.close("Message")
}

func jsonError(e *Error, _, _ string) []byte {
	b, err := json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	if err != nil { // two strings always have a JSON form
		panic(err)
	}
	return b
}

// faultOf says whose fault an error is, in the query protocol's words.
func faultOf(e *Error) string {
	if e.Status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// ec2Spelling turns common codes into EC2's own. EC2 does not tell an unknown
// key from a wrong signature.
func ec2Spelling(e *Error) *Error {
	const cannotValidate = "AWS was not able to validate the provided access credentials"
	switch e.Code {
	case codeAccessDenied:
		return Errorf("UnauthorizedOperation", "You are not authorized to perform this operation. %s", e.Message)
	case codeUnknownKey:
		return Errorf("AuthFailure", cannotValidate)
	case codeBadSignature:
		if e.Message == signatureMismatch {
			return Errorf("AuthFailure", cannotValidate)
		}
		return Errorf("AuthFailure", "%s. %s", cannotValidate, e.Message)
	case codeExpired:
		return Errorf("RequestExpired", "Request has expired.")
	case codeInternal:
		return Errorf("InternalError", "%s", e.Message)
	case "Throttling":
		return Errorf("RequestLimitExceeded", "Request limit exceeded.")
	}
	return e
}

// jsonSpellings are the codes that JSON services use for common failures.
var jsonSpellings = map[string]string{
	codeAccessDenied:     "AccessDeniedException",
	codeMissingToken:     "MissingAuthenticationTokenException",
	codeIncomplete:       "IncompleteSignatureException",
	codeUnknownKey:       "UnrecognizedClientException",
	codeBadSignature:     "InvalidSignatureException",
	codeInvalidAction:    "UnknownOperationException",
	codeExpired:          "ExpiredTokenException",
	codeUnknownOperation: "UnknownOperationException",
	codeTooLarge:         "RequestEntityTooLargeException",
	"ValidationError":    "ValidationException",
	"Throttling":         "ThrottlingException",
}

func jsonSpelling(e *Error) *Error {
	out := *e
	if code, ok := jsonSpellings[e.Code]; ok {
		out.Code = code
	}
	if e.Code != codeTooLarge && e.Status < http.StatusInternalServerError {
		out.Status = http.StatusBadRequest
	}
	return &out
}
