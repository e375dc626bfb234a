// Package stack runs subflows of package wire over a link: it is where our TCP meets locks, timers and the
// connections of package driver. It has no goroutine of its own: segments are handled on the link's, timeouts on
// the runtime's.
//
// A port is one subflow. While it shakes hands its own mutex guards it; then it becomes part of a driver.Conn, whose
// mutex guards it from there on; and in TIME-WAIT, when the connection has forgotten it, its own does again.
package stack
