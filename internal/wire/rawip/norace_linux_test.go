//go:build !race

package rawip

const underRace = false
