package wire

import (
	"log/slog"
	"net/http"
	"time"
)

// Limits of a server. Idle connections live longer than clients keep them in
// their pools (90 s in Go, 60 s in botocore), so that a client never writes a
// request into a connection that is being closed.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second // header and body
	writeTimeout      = 60 * time.Second
	idleTimeout       = 120 * time.Second
	maxHeaderBytes    = 64 << 10
)

// NewServer returns an HTTP server for a handler of this package, with limits
// against slow and large requests. The caller listens, serves and shuts down.
func NewServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
