package frameworks

import (
	"context"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimw "github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
)

// A mount is one way to put a router under /rooms/{id} of a web framework.
type mount struct {
	name string

	// on returns the framework's handler with ws mounted in it, behind
	// middleware that says who the user is.
	on func(ws http.Handler) http.Handler

	// param reads the {id} of the request, as a user of the framework does.
	param func(*http.Request) string
}

var mounts = []mount{
	{"ServeMux", onMux(), pathValue},
	{"ServeMux behind Unwrap", onMux(unwrapOnly), pathValue},
	{"ServeMux behind Unwrap twice", onMux(unwrapOnly, unwrapOnly), pathValue},

	{"chi", onChi(), chiParam},
	{"chi with PathValue", onChi(), pathValue},
	{"chi behind Logger", onChi(chiLogger()), chiParam},
	{"chi behind Logger and Recoverer", onChi(chiLogger(), chimw.Recoverer), chiParam},
	{"chi behind Compress", onChi(chimw.Compress(5)), chiParam},
	{"chi behind Timeout", onChi(chimw.Timeout(time.Minute)), chiParam},
	{"chi behind Unwrap and Logger", onChi(unwrapOnly, chiLogger()), chiParam},

	{"gin, WrapH", onGin(gin.WrapH, ginPathValues), pathValue},
	{"gin, handler", onGin(ginHandler), pathValue},
	{"gin behind Logger", onGin(ginHandler, gin.LoggerWithWriter(io.Discard)), pathValue},
	{"gin behind Recovery", onGin(ginHandler, gin.RecoveryWithWriter(io.Discard)), pathValue},
	{"gin behind both", onGin(ginHandler, gin.LoggerWithWriter(io.Discard), gin.RecoveryWithWriter(io.Discard)), pathValue},

	{"echo, WrapHandler", onEcho(echo.WrapHandler, echoPathValues), pathValue},
	{"echo, handler", onEcho(echoHandler), pathValue},
	{"echo behind RequestLogger", onEcho(echoHandler, echoLogger()), pathValue},
	{"echo behind Recover", onEcho(echoHandler, echomw.Recover()), pathValue},
	{"echo behind BodyDump", onEcho(echoHandler, echoBodyDump()), pathValue},
	{"echo behind ContextTimeout", onEcho(echoHandler, echomw.ContextTimeout(time.Minute)), pathValue},
	{"echo behind Gzip", onEcho(echoHandler, echomw.Gzip()), pathValue},
}

func pathValue(r *http.Request) string { return r.PathValue("id") }

func chiParam(r *http.Request) string { return chi.URLParam(r, "id") }

// userKey is under what HTTP middleware leaves the user's name in the request's
// context.
type userKey struct{}

func withUser(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), userKey{}, "ada"))
}

func authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, withUser(r)) })
}

// onMux mounts under net/http's own ServeMux.
func onMux(mws ...func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(ws http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/rooms/{id}", ws)
		return chi.Chain(append(mws, authenticate)...).Handler(mux)
	}
}

func onChi(mws ...func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(ws http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(mws...)
		r.Use(authenticate)
		r.Handle("/rooms/{id}", ws)
		return r
	}
}

func chiLogger() func(http.Handler) http.Handler {
	return chimw.RequestLogger(&chimw.DefaultLogFormatter{Logger: log.New(io.Discard, "", 0)})
}

// onGin mounts what wrap makes of a handler.
func onGin(wrap func(http.Handler) gin.HandlerFunc, mws ...gin.HandlerFunc) func(http.Handler) http.Handler {
	return func(ws http.Handler) http.Handler {
		engine := gin.New()
		engine.Use(mws...)
		engine.Use(func(c *gin.Context) { c.Request = withUser(c.Request) })
		engine.GET("/rooms/:id", wrap(ws))
		return engine
	}
}

// ginPathValues is middleware for what gin.WrapH wraps, which cannot see the
// gin.Context: that is used for another request once the handler has returned.
func ginPathValues(c *gin.Context) {
	for _, p := range c.Params {
		c.Request.SetPathValue(p.Key, p.Value)
	}
}

func ginHandler(ws http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Request.SetPathValue("id", c.Param("id"))
		ws.ServeHTTP(c.Writer, c.Request)
	}
}

// onEcho mounts what wrap makes of a handler.
func onEcho(wrap func(http.Handler) echo.HandlerFunc, mws ...echo.MiddlewareFunc) func(http.Handler) http.Handler {
	return func(ws http.Handler) http.Handler {
		e := echo.New()
		e.Logger.SetOutput(io.Discard)
		e.Use(mws...)
		e.Use(echo.WrapMiddleware(authenticate))
		e.GET("/rooms/:id", wrap(ws))
		return e
	}
}

// echoPathValues is middleware for what echo.WrapHandler wraps, which cannot see
// the echo.Context.
func echoPathValues(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		for _, name := range c.ParamNames() {
			c.Request().SetPathValue(name, c.Param(name))
		}
		return next(c)
	}
}

func echoHandler(ws http.Handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Request().SetPathValue("id", c.Param("id"))
		ws.ServeHTTP(c.Response(), c.Request())
		return nil
	}
}

func echoLogger() echo.MiddlewareFunc {
	return echomw.RequestLoggerWithConfig(echomw.RequestLoggerConfig{
		LogStatus:     true,
		LogValuesFunc: func(echo.Context, echomw.RequestLoggerValues) error { return nil },
	})
}

func echoBodyDump() echo.MiddlewareFunc {
	return echomw.BodyDump(func(echo.Context, []byte, []byte) {})
}

// unwrapOnly puts a ResponseWriter in front whose one extra method is Unwrap.
func unwrapOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(unwrapWriter{bareWriter{w}}, r)
	})
}

// bareWriter hides what the server's ResponseWriter could do besides.
type bareWriter struct{ http.ResponseWriter }

type unwrapWriter struct{ bareWriter }

func (w unwrapWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
