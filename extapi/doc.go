// Package extapi is the vocabulary shared by the engine and by programs that look inside a
// connection: identifiers, snapshots, events, path policies. It imports only the standard library.
//
// A program that holds a net.Conn asks [From] for its [Control]; a program that only steers writes a
// [PathPolicy]; one that watches supplies a [Tracer].
package extapi
