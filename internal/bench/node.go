package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// prepareNode installs what the scripts in node/ need, unless it is installed.
func prepareNode(servers []server) error {
	if !slices.ContainsFunc(servers, func(s server) bool { return s.platform != inGo }) {
		return nil
	}
	lock, err := os.Stat("node/package-lock.json")
	if err != nil {
		return fmt.Errorf("run it in internal/bench: %w", err)
	}
	// npm writes this file when it is done.
	done, err := os.Stat("node/node_modules/.package-lock.json")
	if err == nil && done.ModTime().After(lock.ModTime()) {
		return nil
	}
	install := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir, install.Stderr = "node", os.Stderr
	return install.Run()
}

// findBun returns the path of Bun's binary. It is in the package for the platform,
// because npm was told not to run the script that would move it.
func findBun() (string, error) {
	found, err := filepath.Glob("node/node_modules/@oven/bun-*/bin/bun")
	if err == nil && len(found) == 0 {
		err = errors.New("no node/node_modules/@oven/bun-*/bin/bun: npm ci in internal/bench/node installs it, where npm has Bun for the machine")
	}
	if err != nil {
		return "", err
	}
	return "./" + found[0], nil
}
