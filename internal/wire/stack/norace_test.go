//go:build !race

package stack

const race = 0
