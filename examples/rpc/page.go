package main

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/clientjs"
)

//go:embed web
var web embed.FS

// tracesPath is where OTLP over HTTP takes traces.
const tracesPath = "/v1/traces"

// front is the asker as a service: a page sends it texts.
type front struct {
	counted
	*service
	connect connectFunc
}

func newFront(s *service, connect connectFunc) *front {
	f := &front{s.counted(wsrouter.Options{Recovery: new(wsrouter.Recovery)}), s, connect}
	f.On("engrave", f.engrave)
	return f
}

// progress is what the page is told about its text.
type progress struct {
	Word    string `json:"word,omitempty"`
	Done    int    `json:"done"`
	Words   int    `json:"words"`
	Waiting bool   `json:"waiting,omitempty"` // until the next worker connects
}

// engrave has a text engraved for the page, and sends the page each word. It uses
// the event's context for everything, so that all of it belongs to the page's
// trace.
func (f *front) engrave(c *wsrouter.Context) error {
	var text string
	if err := c.Bind(&text); err != nil {
		return err
	}
	if n := len(strings.Fields(text)); n < 1 || n > 1000 {
		return wsrouter.NewError("between 1 and 1,000 words, please")
	}
	return wsrouter.StreamSeq(c, func(yield func(progress, error) bool) {
		p := &pageView{yield: yield}
		if err := ask(c.Context(), f.service, text, p, f.connect); err != nil && !p.left {
			yield(progress{}, err)
		}
	})
}

// pageView shows a job to the page.
type pageView struct {
	yield func(progress, error) bool
	last  progress
	left  bool // the page wants no more words
}

var errLeft = errors.New("the page wants no more")

func (p *pageView) say(now progress) error {
	p.last = now
	if p.left = !p.yield(now, nil); p.left {
		return errLeft
	}
	return nil
}

func (p *pageView) draw(job *Job, word string) error {
	return p.say(progress{Word: word, Done: job.Done, Words: job.Words})
}

func (p *pageView) wait() error {
	return p.say(progress{Done: p.last.Done, Words: p.last.Words, Waiting: true})
}

func (p *pageView) end() {}

// handler serves the page with all its files. The page sends its own spans through
// it, because it does not know the collector.
func (f *front) handler(collector string) (http.Handler, error) {
	files, err := fs.Sub(web, "web")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", f.Router)
	mux.Handle("/wsrouter/", clientjs.Handler())
	mux.Handle("/", http.FileServerFS(files))
	if collector == "" {
		mux.HandleFunc("POST "+tracesPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
		return withPolicy(mux), nil
	}
	to, err := url.Parse(collector)
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	mux.Handle("POST "+tracesPath, http.MaxBytesHandler(proxy, 64<<10))
	return withPolicy(mux), nil
}

// withPolicy restricts the page to what this server serves.
func withPolicy(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// serve serves the page on the network until ctx ends.
func (f *front) serve(ctx context.Context, addr, collector string) error {
	handler, err := f.handler(collector)
	if err != nil {
		return err
	}
	return serveHTTP(ctx, addr, "page: open http://%s/", handler, f.Shutdown)
}
