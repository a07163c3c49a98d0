package deploy

import (
	"bytes"
	"flag"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wsrouter/wsrouter"
	"github.com/wsrouter/wsrouter/internal/page"
)

// snippets returns what the page shows in a language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	return page.Blocks(t, "../../../docs/deploy.md", language)
}

// seconds returns the value of a directive of nginx that is in seconds.
func seconds(t *testing.T, config, directive string) time.Duration {
	t.Helper()
	found := regexp.MustCompile(directive + ` +(\d+s);`).FindStringSubmatch(config)
	require.NotNil(t, found, directive)
	d, err := time.ParseDuration(found[1])
	require.NoError(t, err)
	return d
}

// settle is how long the end of a process takes besides its shutdown.
const settle = 5 * time.Second

// serverFlags are the flags of server/main.go that say how long a shutdown takes.
type serverFlags struct{ spread, drain time.Duration }

// parseFlags fails on a flag that the server does not have.
func parseFlags(t *testing.T, args []string) (f serverFlags) {
	t.Helper()
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.DurationVar(&f.spread, "spread", 0, "")
	set.DurationVar(&f.drain, "drain", 0, "")
	set.String("addr", "", "")
	set.String("node", "", "")
	require.NoError(t, set.Parse(args))
	require.Empty(t, set.Args())
	require.NotZero(t, f.spread)
	require.LessOrEqual(t, f.spread, f.drain*3/4, "else Shutdown shortens the spread")
	return f
}

// TestPageGo: the server that the page shows is the one that runs here. Package
// pages compiles what else the page shows.
func TestPageGo(t *testing.T) {
	source, err := os.ReadFile("server/main.go")
	require.NoError(t, err)
	require.Contains(t, string(source), snippets(t, "go")[0])
}

// TestPageNginx: the times and sizes fit those of the router.
func TestPageNginx(t *testing.T) {
	config := snippets(t, "nginx")[0]
	limits := wsrouter.New(nil).Adapter().Limits()
	require.Greater(t, seconds(t, config, "proxy_read_timeout"), limits.PingInterval+limits.PongTimeout)
	body := regexp.MustCompile(`client_max_body_size +(\d+)m;`).FindStringSubmatch(config)
	require.NotNil(t, body)
	megabytes, _ := strconv.Atoi(body[1])
	require.GreaterOrEqual(t, megabytes<<20, limits.MaxMessage)
}

// TestPageSystemd: the unit's times leave room for the shutdown.
func TestPageSystemd(t *testing.T) {
	unit := snippets(t, "ini")[0]
	value := func(key string) string {
		found := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(unit)
		require.NotNil(t, found, key)
		return found[1]
	}
	start := strings.Fields(value("ExecStart"))
	f := parseFlags(t, start[1:])
	stop, err := strconv.Atoi(value("TimeoutStopSec"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Duration(stop)*time.Second, f.drain+settle)
}

// manifest is the part of the page's manifest that is checked.
type manifest struct {
	Kind string
	Spec struct {
		Strategy struct {
			RollingUpdate struct{ MaxUnavailable, MaxSurge int } `yaml:"rollingUpdate"`
		}
		Selector yaml.Node
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []struct {
					Args           []string
					Ports          []struct{ Name string }
					ReadinessProbe probe `yaml:"readinessProbe"`
					LivenessProbe  probe `yaml:"livenessProbe"`
					Lifecycle      struct {
						PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
					}
				}
			}
		}
		Ports []struct {
			TargetPort string `yaml:"targetPort"`
		}
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// TestPageKubernetes: the manifest's times leave room for the shutdown, and its
// parts refer to each other.
func TestPageKubernetes(t *testing.T) {
	var deployment, service manifest
	documents := yaml.NewDecoder(bytes.NewReader([]byte(snippets(t, "yaml")[0])))
	require.NoError(t, documents.Decode(&deployment))
	require.NoError(t, documents.Decode(&service))
	require.ErrorIs(t, documents.Decode(&service), io.EOF)
	require.Equal(t, []string{"Deployment", "Service"}, []string{deployment.Kind, service.Kind})

	pod := deployment.Spec.Template.Spec
	require.Len(t, pod.Containers, 1)
	app := pod.Containers[0]
	f := parseFlags(t, app.Args)
	preStop := time.Duration(app.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	require.NotZero(t, preStop)
	require.GreaterOrEqual(t, time.Duration(pod.Grace)*time.Second, preStop+f.drain+settle)

	port := app.Ports[0].Name
	require.Equal(t, "/readyz", app.ReadinessProbe.HTTPGet.Path)
	require.Equal(t, "/livez", app.LivenessProbe.HTTPGet.Path)
	for _, named := range []string{app.ReadinessProbe.HTTPGet.Port, app.LivenessProbe.HTTPGet.Port, service.Spec.Ports[0].TargetPort} {
		require.Equal(t, port, named)
	}
	var wanted struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	var served map[string]string
	require.NoError(t, deployment.Spec.Selector.Decode(&wanted))
	require.NoError(t, service.Spec.Selector.Decode(&served))
	require.Equal(t, deployment.Spec.Template.Metadata.Labels, wanted.MatchLabels)
	require.Equal(t, deployment.Spec.Template.Metadata.Labels, served)
	require.Equal(t, 0, deployment.Spec.Strategy.RollingUpdate.MaxUnavailable)
}
