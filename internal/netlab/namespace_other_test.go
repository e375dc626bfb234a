//go:build !linux

package netlab

func sweep() {}
