package recipes

import (
	"log/slog"
	"net/http"
	"time"
)

// Mux serves pages with a time limit, and WebSockets without one.
func Mux(router, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/ws", router)
	mux.Handle("/", http.TimeoutHandler(pages, 10*time.Second, "too slow"))
	return mux
}

// statusWriter records the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets net/http and wsrouter find what the underlying ResponseWriter can do.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// LogStatus is HTTP middleware that logs the status of each answer.
func LogStatus(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		slog.InfoContext(r.Context(), "request", "path", r.URL.Path, "status", sw.status)
	})
}
