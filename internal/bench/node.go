package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// prepareNode installs what the scripts in node/ need, unless it is there.
func prepareNode(servers []server) error {
	if !slices.ContainsFunc(servers, func(s server) bool { return s.node }) {
		return nil
	}
	lock, err := os.Stat("node/package-lock.json")
	if err != nil {
		return fmt.Errorf("run it in internal/bench: %w", err)
	}
	// npm writes this when it is done.
	done, err := os.Stat("node/node_modules/.package-lock.json")
	if err == nil && done.ModTime().After(lock.ModTime()) {
		return nil
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir, install.Stderr = "node", os.Stderr
	return install.Run()
}
