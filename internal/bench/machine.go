package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// machine says where a run was made, and with what.
type machine struct {
	CPU      string   `json:"cpu"`
	Cores    int      `json:"cores"`
	Memory   string   `json:"memory"`
	Kernel   string   `json:"kernel"`
	Go       string   `json:"go"`
	Node     string   `json:"node"`
	Bun      string   `json:"bun"`
	Load     string   `json:"load"` // of other processes, before the run
	Date     string   `json:"date"`
	Commit   string   `json:"commit"`
	Versions []string `json:"versions"` // of the peers
}

// peers are the modules and packages whose versions the page has.
var peers = regexp.MustCompile(`^(github\.com/(coder/websocket|gorilla/websocket|lxzan/gws|lesismal/nbio|olahol/melody|centrifugal/centrifuge))$`)

func describe() (machine, error) {
	m := machine{
		Cores: runtime.NumCPU(),
		Go:    runtime.Version(),
		Date:  time.Now().UTC().Format(time.DateOnly),
	}
	var err error
	read := func(file string) string {
		b, failed := os.ReadFile(file)
		if failed != nil {
			err = failed
		}
		return string(b)
	}
	output := func(program string, args ...string) string {
		b, failed := exec.Command(program, args...).Output()
		if failed != nil {
			err = fmt.Errorf("%s: %w", program, failed)
		}
		return strings.TrimSpace(string(b))
	}
	m.CPU = field(read("/proc/cpuinfo"), "model name")
	m.Memory = gigabytes(field(read("/proc/meminfo"), "MemTotal"))
	m.Kernel, _, _ = strings.Cut(strings.TrimSpace(read("/proc/sys/kernel/osrelease")), "-")
	m.Load, _, _ = strings.Cut(read("/proc/loadavg"), " ")
	m.Node, m.Bun = output("node", "--version"), bunVersion()
	m.Commit = output("git", "rev-parse", "--short", "HEAD")
	m.Versions = append(goVersions(), nodeVersions(read("node/package.json"))...)
	return m, err
}

// bunVersion asks Bun, which not every machine has.
func bunVersion() string {
	bun, err := findBun()
	if err != nil {
		return "missing"
	}
	version, err := exec.Command(bun, "--version").Output()
	if err != nil {
		return "missing"
	}
	return strings.TrimSpace(string(version))
}

// field returns the value after the first "key : value" in a file in /proc.
func field(file, key string) string {
	for line := range strings.Lines(file) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// gigabytes rounds a value of /proc/meminfo, which is in kB.
func gigabytes(text string) string {
	var kb float64
	if _, err := fmt.Sscanf(text, "%f kB", &kb); err != nil {
		return text
	}
	return fmt.Sprintf("%.0f GB", kb/(1<<20))
}

func goVersions() []string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var versions []string
	for _, dep := range info.Deps {
		if peers.MatchString(dep.Path) {
			versions = append(versions, strings.TrimPrefix(dep.Path, "github.com/")+" "+dep.Version)
		}
	}
	return versions
}

var pinned = regexp.MustCompile(`"((?:@nestjs/platform-)?(?:ws|socket\.io)|@nestjs/core|@socket\.io/bun-engine)": "([0-9.]+)"`)

// nodeVersions finds the peers in a package.json, where versions are exact.
func nodeVersions(file string) []string {
	var versions []string
	for _, match := range pinned.FindAllStringSubmatch(file, -1) {
		versions = append(versions, match[1]+" "+match[2])
	}
	return versions
}
