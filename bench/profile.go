//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profileEnv names a folder for CPU profiles of the contenders' processes: one per process, by contender,
// work and role. It is for finding out why, not for measuring.
const profileEnv = "BENCH_PROFILE"

// profile starts a CPU profile where one is wanted.
func profile(t *task) (stop func(), err error) {
	dir := os.Getenv(profileEnv)
	if dir == "" || t.Role == "watch" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%d.prof", t.Contender, t.Work, t.Role, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}, nil
}
