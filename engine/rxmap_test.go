package engine

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// delivery collects what rxMappings gives out, as bytes by data sequence number.
type delivery struct {
	got     map[uint64]byte
	bytes   int
	corrupt []uint64
}

func (d *delivery) drain(r *rxMappings) {
	for {
		dsn, p, o := r.next()
		switch o {
		case rxNone:
			return
		case rxCorrupt:
			d.corrupt = append(d.corrupt, dsn)
			return
		}
		if d.got == nil {
			d.got = map[uint64]byte{}
		}
		for i, x := range p.B {
			d.got[dsn+uint64(i)] = x
		}
		d.bytes += p.Len()
		p.Release()
	}
}

// dss is a mapping of n bytes of the pattern that lies from dsn on.
func dss(dsn uint64, ssn uint32, n int, fin, sum bool) *options.DSS {
	d := &options.DSS{HasMap: true, DSN64: true, DSN: dsn, SSN: ssn, DataLen: uint16(n), DataFIN: fin}
	if fin {
		d.DataLen++
	}
	if sum {
		d.HasChecksum, d.Checksum = true, dssChecksum(dsn, ssn, d.DataLen, pattern(dsn, n))
	}
	return d
}

func add(r *rxMappings, d *options.DSS) error { return r.add(d.DSN, d) }

func TestRFC8684Section331Mappings(t *testing.T) {
	type step struct {
		dsn     uint64 // mapping of n at ssn to dsn
		ssn     uint32
		n       int
		feed    int  // or: the next feed bytes of the subflow, which carry the pattern from data sequence number dsn on
		broken  bool // add is an error
		given   int  // delivered so far
		pending int  // unmapped
	}
	for _, c := range []struct {
		name  string
		both  bool // also with checksums
		steps []step
	}{
		{"mapping, then its bytes", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, feed: 10, given: 10}}},
		{"over several segments", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, feed: 3, given: 3}, {dsn: 1003, feed: 7, given: 10}}},
		{"repeated on every segment", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, feed: 5, given: 5},
			{dsn: 1000, ssn: 1, n: 10, given: 5}, {dsn: 1005, feed: 5, given: 10}, {dsn: 1000, ssn: 1, n: 10, given: 10}}},
		{"late: bytes wait for it", true, []step{{dsn: 1000, feed: 10, pending: 10}, {dsn: 1000, ssn: 1, n: 10, given: 10}}},
		{"early: a later one first", true, []step{{dsn: 2000, ssn: 11, n: 10}, {dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, feed: 10, given: 10}, {dsn: 2000, feed: 10, given: 20}}},
		{"gap holds what follows", true, []step{{dsn: 2000, ssn: 11, n: 10}, {dsn: 1000, feed: 10, pending: 10}, {dsn: 2000, feed: 10, pending: 20}, {dsn: 1000, ssn: 1, n: 10, given: 20}}},
		{"two subflow ranges, one data range", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, ssn: 11, n: 10}, {dsn: 1000, feed: 10, given: 10}, {dsn: 1000, feed: 10, given: 20}}},
		{"changed", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1001, ssn: 1, n: 10, broken: true}}},
		{"changed in its tail", true, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 2000, ssn: 6, n: 10, broken: true}}},
		{"changed behind a gap", true, []step{{dsn: 1010, ssn: 11, n: 10}, {dsn: 999, ssn: 1, n: 15, broken: true}}},
		{"before the first byte", true, []step{{dsn: 1000, ssn: 0, n: 10, broken: true}}},
		{"far ahead", true, []step{{dsn: 1000, ssn: 3 << 29, n: 10, broken: true}}},
		{"overlapping, same meaning", false, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1005, ssn: 6, n: 15}, {dsn: 1000, feed: 20, given: 20}}},
		{"overlapping over a gap", false, []step{{dsn: 1000, ssn: 1, n: 5}, {dsn: 1010, ssn: 11, n: 5}, {dsn: 1002, ssn: 3, n: 20}, {dsn: 1000, feed: 22, given: 22}}},
		{"begins in delivered bytes", false, []step{{dsn: 1000, ssn: 1, n: 10}, {dsn: 1000, feed: 10, given: 10}, {dsn: 1005, ssn: 6, n: 10, given: 10}, {dsn: 1010, feed: 5, given: 15}}},
	} {
		for _, sum := range []bool{false, true} {
			if sum && !c.both {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				start := pool.Outstanding()
				var r rxMappings
				r.init(sum)
				var d delivery
				for _, s := range c.steps {
					if s.feed > 0 {
						r.bytes(pool.Copy(pattern(s.dsn, s.feed)))
					} else if err := add(&r, dss(s.dsn, s.ssn, s.n, false, sum)); s.broken {
						var p *ProtocolError
						require.True(t, errors.As(err, &p))
						require.Equal(t, "RFC 8684 section 3.3.1", p.Section)
						continue
					} else {
						require.NoError(t, err)
					}
					d.drain(&r)
					require.Equal(t, s.pending, r.unmapped())
					if !sum {
						require.Equal(t, s.given, d.bytes)
					}
				}
				last := c.steps[len(c.steps)-1]
				require.Equal(t, last.given, d.bytes)
				for x, b := range d.got {
					require.Equal(t, pattern(x, 1)[0], b)
				}
				r.drop()
				require.Equal(t, start, pool.Outstanding())
			})
		}
	}
}

func TestRFC8684Section33ChecksumAsNegotiated(t *testing.T) {
	for _, negotiated := range []bool{false, true} {
		var r rxMappings
		r.init(negotiated)
		var p *ProtocolError
		require.ErrorAs(t, add(&r, dss(1, 1, 5, false, !negotiated)), &p)
		require.Equal(t, "RFC 8684 section 3.3", p.Section)
	}
}

func TestRFC8684Section333DataFIN(t *testing.T) {
	for _, sum := range []bool{false, true} {
		var r rxMappings
		r.init(sum)
		// "a segment with a DSN value of 80 and a Data-Level Length of 11, with DATA_FIN set, would map
		// 10 octets from the subflow into data sequence space 80-89, and the DATA_FIN would be DSN 90".
		require.NoError(t, add(&r, dss(80, 1, 10, false, sum)))
		require.NoError(t, add(&r, dss(80, 1, 10, true, sum)), "Linux repeats a mapping with a DATA_FIN added")
		_, ok := r.fin()
		require.Equal(t, !sum, ok, "with a checksum, believed when that has been checked")
		r.bytes(pool.Copy(pattern(80, 10)))
		var d delivery
		d.drain(&r)
		require.Equal(t, 10, d.bytes)
		dsn, ok := r.fin()
		require.True(t, ok)
		require.Equal(t, uint64(90), dsn)
		require.NoError(t, add(&r, dss(90, 0, 0, true, sum)))
		require.ErrorContains(t, add(&r, dss(91, 0, 0, true, sum)), "3.3.3")
	}
	var r rxMappings
	r.init(true)
	bad := dss(90, 0, 0, true, true)
	bad.Checksum ^= 1
	require.ErrorContains(t, add(&r, bad), "3.3.3")
	_, ok := r.fin()
	require.False(t, ok)
	// Two mappings with right checksums and two ends of the stream: the second is not believed.
	require.NoError(t, add(&r, dss(80, 1, 10, true, true)))
	require.NoError(t, add(&r, dss(90, 11, 10, true, true)))
	r.bytes(pool.Copy(pattern(80, 20)))
	var d delivery
	d.drain(&r)
	require.Equal(t, []uint64{90}, d.corrupt)
	r.drop()

	r.init(false)
	require.NoError(t, add(&r, dss(80, 1, 10, true, false)))
	require.ErrorContains(t, add(&r, dss(90, 11, 10, true, false)), "3.3.3")
}

func TestRFC8684Section37NothingOfACorruptMappingIsDelivered(t *testing.T) {
	start := pool.Outstanding()
	var r rxMappings
	r.init(true)
	var d delivery
	require.NoError(t, add(&r, dss(100, 1, 10, false, true)))
	require.NoError(t, add(&r, dss(110, 11, 1001, false, true)))
	r.bytes(pool.Copy(pattern(100, 510)))
	d.drain(&r)
	require.Equal(t, 10, d.bytes)
	changed := pattern(610, 501)
	changed[500] ^= 0x40
	r.bytes(pool.Copy(changed))
	d.drain(&r)
	require.Equal(t, 10, d.bytes)
	require.Equal(t, []uint64{110}, d.corrupt)
	r.bytes(pool.Copy([]byte("more")))
	require.Equal(t, 1005, r.unmapped())
	require.Zero(t, r.directRoom())
	// The single subflow falls back: all from there on is the stream, checksums are over.
	r.setInfinite(110)
	d.drain(&r)
	require.Equal(t, 1015, d.bytes)
	require.Equal(t, byte('m'), d.got[1111])
	require.Equal(t, start, pool.Outstanding())
}

func TestRFC8684Section37InfiniteMapping(t *testing.T) {
	infinite := func(dsn uint64, ssn uint32) *options.DSS {
		return &options.DSS{HasMap: true, DSN64: true, DSN: dsn, SSN: ssn, HasChecksum: true}
	}
	for _, c := range []struct {
		name string
		d    *options.DSS
		bad  bool
	}{
		{"retroactive", infinite(1000, 1), false},
		{"where the corrupt mapping begins", infinite(1010, 11), false},
		{"of the segment that carries it, as Linux has it", infinite(1020, 21), false},
		{"contradicting", infinite(1021, 21), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r rxMappings
			r.init(true)
			var d delivery
			require.NoError(t, add(&r, dss(1000, 1, 10, false, true)))
			require.NoError(t, add(&r, dss(1010, 11, 10, false, true)))
			r.bytes(pool.Copy(pattern(1000, 12)))
			r.bytes(pool.Copy(make([]byte, 8)))
			d.drain(&r)
			require.Equal(t, []uint64{1010}, d.corrupt)
			if err := add(&r, c.d); c.bad {
				require.Error(t, err)
				r.drop()
				return
			}
			r.bytes(pool.Copy(pattern(1020, 30)))
			require.NoError(t, add(&r, dss(7777, 3, 10, false, false)), "no mapping counts any more")
			d.drain(&r)
			require.Equal(t, 50, d.bytes)
			require.Equal(t, pattern(1049, 1)[0], d.got[1049])
			require.Positive(t, r.directRoom())
			dsn, ok := r.current()
			require.True(t, ok)
			require.Equal(t, uint64(1050), dsn)
			r.direct(5)
			dsn, _ = r.current()
			require.Equal(t, uint64(1055), dsn)
		})
	}
}

func TestExactMappings(t *testing.T) {
	start := pool.Outstanding()
	var r rxMappings
	r.init(false)
	r.exact = true
	require.Error(t, add(&r, dss(1000, 2, 10, false, false)))
	require.NoError(t, add(&r, dss(1000, 1, 10, false, false)))
	require.Error(t, add(&r, dss(1000, 1, 10, false, false)), "nothing is repeated on a stream")
	require.NoError(t, add(&r, dss(5000, 11, 10, false, false)))
	require.Error(t, add(&r, &options.DSS{DSN: 5010, SSN: 21}), "no infinite mapping either")
	require.Equal(t, 10, r.directRoom())
	r.direct(4)
	require.Equal(t, 6, r.directRoom())
	r.bytes(pool.Copy(pattern(1004, 8)))
	require.Zero(t, r.directRoom(), "not past what is held")
	var d delivery
	d.drain(&r)
	require.Equal(t, 8, d.bytes)
	require.Equal(t, 8, r.directRoom())
	require.Panics(t, func() { r.direct(9) })
	r.direct(8)
	require.Zero(t, r.directRoom())
	_, ok := r.current()
	require.False(t, ok)
	require.Equal(t, start, pool.Outstanding())
}

func TestSubflowSequenceNumberWraps(t *testing.T) {
	var r rxMappings
	r.init(false)
	r.pos = 1<<32 - 1 - 5 // the SSN of the next byte is 2^32-5
	at := r.pos
	require.NoError(t, add(&r, dss(1000, ^uint32(0)-4, 3, false, false)))
	require.NoError(t, add(&r, dss(1003, ^uint32(0)-1, 10, false, false)))
	require.NoError(t, add(&r, dss(1013, 8, 10, false, false)))
	require.Equal(t, 23, r.directRoom())
	r.direct(23)
	require.Equal(t, at+23, r.pos)
}

func TestRFC8684Section331ChecksumOfDeliveredBytes(t *testing.T) {
	var r rxMappings
	r.init(true)
	var d delivery
	require.NoError(t, add(&r, dss(1000, 1, 10, false, true)))
	r.bytes(pool.Copy(pattern(1000, 10)))
	d.drain(&r)
	require.ErrorContains(t, add(&r, dss(1005, 6, 10, false, true)), "3.3.1", "half of it can't be checked any more")
	require.NoError(t, add(&r, dss(1000, 1, 10, false, true)))
	_, ok := r.current()
	require.False(t, ok)
	require.NoError(t, add(&r, dss(1010, 11, 10, false, true)))
	require.Zero(t, r.directRoom(), "not past a checksum")
}

func TestMappingsAheadOfTheirBytesAreBounded(t *testing.T) {
	for _, sum := range []bool{false, true} {
		var r rxMappings
		r.init(sum)
		var err error
		n := 0
		for ; err == nil && n < 2*maxMappings; n++ {
			err = add(&r, dss(uint64(n), uint32(1+2*n), 1, false, sum))
		}
		require.Equal(t, maxMappings+1, n)
		require.ErrorContains(t, err, "too many")
	}
}

func TestUnmappedBytesOfShortSegmentsAreBoundedInMemory(t *testing.T) {
	start := pool.Outstanding()
	var r rxMappings
	r.init(false)
	for r.unmapped() <= maxUnmapped {
		r.bytes(fullChunk(pool.MaxSize, make([]byte, 64)))
	}
	require.LessOrEqual(t, r.held.pinned, int64(packSlack+packRatio*maxUnmapped+packSize))
	r.drop()
	require.Equal(t, start, pool.Outstanding())
}

// modelMappings plays segments of a sender that never lies, in any order that a TCP may deliver
// mappings in, and compares with what each byte was declared to be.
func modelMappings(t require.TestingT, sum bool, ops []byte) {
	start := pool.Outstanding()
	var r rxMappings
	r.init(sum)
	type mapping struct {
		d    *options.DSS
		n    int
		told bool
	}
	var (
		maps      []mapping
		dsn, ssn  = uint64(1) << 40, uint32(1)
		stream    []byte // of the subflow
		where     []uint64
		fed, most int
		d         delivery
	)
	for len(ops) >= 3 {
		op, a, b := ops[0], int(ops[1]), int(ops[2])
		ops = ops[3:]
		switch op % 4 {
		case 0: // declare the next mapping, skipping some data that goes over another subflow
			dsn += uint64(b)
			m := mapping{d: dss(dsn, ssn, a+1, false, sum), n: a + 1}
			maps = append(maps, m)
			for i := range m.n {
				where = append(where, dsn+uint64(i))
			}
			stream = append(stream, pattern(dsn, m.n)...)
			ssn, dsn = ssn+uint32(m.n), dsn+uint64(m.n)
		case 1, 2: // tell one of the last mappings, perhaps again
			if n := len(maps); n > 0 {
				m := &maps[n-1-a%min(n, 8)]
				if fed > maxUnmapped && !m.told {
					continue
				}
				m.told = true
				require.NoError(t, add(&r, m.d))
			}
		case 3:
			n := min(a*b/8+1, len(stream)-fed)
			r.bytes(fullChunk(pool.Sizes[int(op>>2)%3], stream[fed:fed+n]))
			fed += n
		}
		d.drain(&r)
		most = 0 // what may be delivered: up to the first byte not mapped or, with checksums, not complete
		for _, m := range maps {
			end := most + m.n
			if !m.told || sum && end > fed {
				break
			}
			most = min(end, fed)
			if most < end {
				break
			}
		}
		require.Equal(t, most, d.bytes)
		require.Equal(t, fed-most, r.held.bytes)
		require.LessOrEqual(t, r.held.pinned, int64(packSlack+packRatio*fed+packSize+pool.MaxSize))
	}
	require.Empty(t, d.corrupt)
	for i, x := range where[:most] {
		require.Equal(t, stream[i], d.got[x])
	}
	r.drop()
	require.Equal(t, start, pool.Outstanding())
}

// FuzzRxMappings runs an honest sender's operations against the model, and the same bytes as the
// mappings of a peer that says anything.
func FuzzRxMappings(f *testing.F) {
	f.Add(false, []byte{0, 9, 0, 1, 0, 0, 3, 9, 9, 0, 200, 5, 3, 80, 80, 1, 0, 0, 2, 1, 0})
	f.Add(true, []byte{0, 9, 0, 0, 255, 7, 3, 9, 9, 1, 0, 0, 3, 80, 80, 1, 1, 0, 3, 255, 255})
	f.Fuzz(func(t *testing.T, sum bool, ops []byte) {
		ops = ops[:min(len(ops), 3000)]
		modelMappings(t, sum, ops)
		hostileMappings(t, sum, ops)
	})
}

// hostileMappings checks that lies lead to nothing but errors, and stay within the bounds.
func hostileMappings(t require.TestingT, sum bool, ops []byte) {
	start := pool.Outstanding()
	var r rxMappings
	r.init(sum)
	var d delivery
	fed := 0
	for len(ops) >= 5 {
		op, a, b, c, e := ops[0], int(ops[1]), int(ops[2]), uint64(ops[3]), ops[4]
		ops = ops[5:]
		if op%4 == 0 {
			r.bytes(fullChunk(pool.Sizes[b%3], make([]byte, a+1)))
			fed += a + 1
		} else {
			o := &options.DSS{HasMap: true, DSN: c << (op % 56), SSN: uint32(r.pos) + uint32(b) - 8, DataLen: uint16(a),
				DataFIN: e&1 != 0, HasChecksum: sum != (e&0x1e == 0x1e), Checksum: uint16(e) << 8}
			if e&0xe0 == 0xe0 {
				o.SSN = uint32(b) << 24
			}
			if err := add(&r, o); err != nil {
				var p *ProtocolError
				require.True(t, errors.As(err, &p))
			}
		}
		if room := r.directRoom(); room > 0 && op&0x80 != 0 {
			r.direct(min(room, a))
			fed, d.bytes = fed+min(room, a), d.bytes+min(room, a)
		}
		d.drain(&r)
		require.Equal(t, fed, d.bytes+r.held.bytes)
		require.Equal(t, r.pos, uint64(d.bytes))
		require.LessOrEqual(t, r.maps.Len(), maxMappings)
	}
	r.drop()
	require.Equal(t, start, pool.Outstanding())
}

func TestRxMappingsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ops := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "ops")
		sum := rapid.Bool().Draw(t, "sum")
		modelMappings(t, sum, ops)
		hostileMappings(t, sum, ops)
	})
}

func BenchmarkRxMappings(b *testing.B) {
	for name, sum := range map[string]bool{"plain": false, "checksum": true} {
		b.Run(name, func(b *testing.B) {
			var r rxMappings
			r.init(sum)
			c := pool.Get(pool.MaxSize)
			p := pool.Ref{C: c, B: c.Bytes()[:16<<10]}
			copy(p.B, pattern(0, len(p.B)))
			o := &options.DSS{HasMap: true, DataLen: uint16(p.Len()), HasChecksum: sum}
			b.SetBytes(int64(p.Len()))
			b.ReportAllocs()
			for b.Loop() {
				o.SSN, o.DSN = uint32(r.pos+1), r.pos
				if sum {
					o.Checksum = dssChecksum(o.DSN, o.SSN, o.DataLen, p.B)
				}
				_ = r.add(o.DSN, o)
				r.bytes(p.Retain())
				for _, q, ok := r.next(); ok == rxPiece; _, q, ok = r.next() {
					q.Release()
				}
			}
		})
	}
}
