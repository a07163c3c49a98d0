// Package clientjs contains the client for browsers, wsrouter.js, and a handler
// that serves it.
package clientjs

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed wsrouter.js wsrouter.d.ts
var files embed.FS

// Handler returns a handler that serves the browser client: wsrouter.js, an ES
// module without dependencies, and its types, wsrouter.d.ts. Only the last element
// of the request's path matters. With
//
//	http.Handle("/wsrouter/", clientjs.Handler())
//
// a page connects to a router mounted at /ws like this:
//
//	import { connect } from "/wsrouter/wsrouter.js";
//
//	const client = connect("/ws");
//	client.on("news", (text) => console.log(text));
//	await client.ready();
//	console.log(await client.call("sum", [1, 2]));
//
// The types document the client. Browsers cache the files and ask each time whether
// they have changed, so that page and server always have the same version. Other
// names get 404, and methods other than GET and HEAD get 405.
func Handler() http.Handler {
	served := make(map[string]servedFile)
	for name, contentType := range map[string]string{
		"wsrouter.js":   "text/javascript; charset=utf-8",
		"wsrouter.d.ts": "text/plain; charset=utf-8", // TypeScript has no media type
	} {
		text, _ := fs.ReadFile(files, name) // embedded, so it is there
		sum := sha256.Sum256(text)
		served[name] = servedFile{string(text), contentType, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		file, ok := served[name]
		switch {
		case !ok:
			http.NotFound(w, r)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		default:
			file.serve(w, r, name)
		}
	})
}

type servedFile struct{ text, contentType, etag string }

func (f servedFile) serve(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.etag)
	http.ServeContent(w, r, name, time.Time{}, strings.NewReader(f.text))
}
