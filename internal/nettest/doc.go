// Package nettest holds tests of the public API on the real thing: kernel sockets in network namespaces
// that are joined by veth pairs, with token buckets for rates and nftables for middleboxes. They are called
// TestNamespace..., need root on Linux with iproute2, nftables, nginx, curl and iperf3, and say so when they skip.
//
// A test's programs run in the namespaces: TestMain executes the test binary once more there, with an order
// in its environment, and they report on their standard output.
package nettest
