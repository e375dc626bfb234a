//go:build race

package pool

func poison(b []byte) {
	for i := range b {
		b[i] = 0xDB
	}
}
