// Package archtest holds the project's architecture as tests: which package may import which, who may
// read the clock, how large files, functions and structs may grow, and that the coverage tables in
// docs name things that exist. It works on the source text of every file, whatever its build tags, so
// that one run on one platform judges all platforms.
//
// Every rule is a function from sources to violations. Each has a canary test that feeds it a source
// which breaks it: a guard that cannot fire protects nothing.
package archtest
